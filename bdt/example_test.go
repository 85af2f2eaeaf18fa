package bdt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/sn"
)

// onLoopback keeps the examples' traffic on this machine.
var onLoopback = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}

// exampleStack opens a stack that ends with the example.
func exampleStack() *bdt.Stack {
	stack, err := bdt.Open(bdt.Config{Listen: onLoopback})
	if err != nil {
		log.Fatal(err)
	}
	return stack
}

// meet tells a stack where another is, as a ticket would.
func meet(stack, other *bdt.Stack) {
	if err := stack.Learn(identity.Ticket{ID: other.ID(), Endpoints: other.LocalAddrs()}); err != nil {
		log.Fatal(err)
	}
}

// The zero Config makes a device that lasts as long as the stack.
func ExampleOpen() {
	stack, err := bdt.Open(bdt.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer stack.Close()
	fmt.Println(stack.ID().Type(), stack.ID() == stack.Device().ID())
	// Output: device true
}

// Two devices that know one super node find each other by id alone.
func ExampleStack_WaitOnline() {
	secret := identity.GenerateSecret()
	device, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		log.Fatal(err)
	}
	server, err := sn.Open(sn.Config{Local: &identity.LocalDevice{Secret: secret, Device: device}, Listen: onLoopback})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stacks [2]*bdt.Stack
	for i := range stacks {
		stacks[i], err = bdt.Open(bdt.Config{Listen: onLoopback, SNs: []identity.Ref{server.Ref()}})
		if err != nil {
			log.Fatal(err)
		}
		defer stacks[i].Close()
		if err := stacks[i].WaitOnline(ctx); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := stacks[1].ServeEcho(); err != nil {
		log.Fatal(err)
	}
	_, err = stacks[0].Ping(ctx, stacks[1].ID())
	fmt.Println(stacks[0].Online(), err)
	// Output: true <nil>
}

// A dialled stream is a net.Conn whose directions close one by one.
func ExampleStack_Dial() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	if _, err := server.ServeEcho(); err != nil {
		log.Fatal(err)
	}
	meet(client, server)

	conn, err := client.Dial(context.Background(), server.ID(), "echo")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", answer, err)
	// Output: hello <nil>
}

// A Listener is a net.Listener: an HTTP server takes it.
func ExampleStack_Listen() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ln, err := server.Listen("http", bdt.Everyone)
	if err != nil {
		log.Fatal(err)
	}
	greet := func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "you asked for %s", r.URL.Path) }
	go http.Serve(ln, http.HandlerFunc(greet))
	meet(client, server)

	conn, err := client.Dial(context.Background(), server.ID(), "http")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /news HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer[len(answer)-len("you asked for /news"):]))
	// Output: you asked for /news
}

// A policy can be read from text, as from a command line. Several add up.
func ExampleParseAccess() {
	access, err := bdt.ParseAccess("zone,everyone:r")
	if err != nil {
		log.Fatal(err)
	}
	stranger := exampleStack()
	defer stranger.Close()
	rights := access(bdt.Caller{Device: stranger.Device()})
	fmt.Println(rights, rights.Has(bdt.MayRead), rights.Has(bdt.MayWrite))
	_, err = bdt.ParseAccess("neighbours")
	fmt.Println(err)
	// Output:
	// read true false
	// "neighbours" is neither everyone, zone, friends or nobody, nor an id: identity: id of 10 characters, not 44: malformed
}

// A policy admits by what the caller has proven to be. Who is refused is not
// told whether there is such a service.
func ExampleAccess() {
	server, friend, stranger := exampleStack(), exampleStack(), exampleStack()
	defer server.Close()
	defer friend.Close()
	defer stranger.Close()
	ln, err := server.Listen("diary", bdt.Only(friend.ID()))
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := ln.AcceptConn(context.Background())
			if err != nil {
				return
			}
			fmt.Fprint(conn, "dear diary")
			conn.Close()
		}
	}()
	for _, caller := range []*bdt.Stack{friend, stranger} {
		meet(caller, server)
		conn, err := caller.Dial(context.Background(), server.ID(), "diary")
		if err != nil {
			log.Fatal(err)
		}
		page, err := io.ReadAll(conn)
		fmt.Printf("%q, denied %v\n", page, errors.Is(err, bdt.ErrDenied))
		conn.Close()
	}
	// Output:
	// "dear diary", denied false
	// "", denied true
}

// A ticket carries all that it takes to dial a device that no super node knows.
func ExampleStack_Learn() {
	server := exampleStack()
	defer server.Close()
	if _, err := server.ServeEcho(); err != nil {
		log.Fatal(err)
	}
	ticket := server.Ticket()
	ticket.Endpoints = server.LocalAddrs()
	text := ticket.String() // bdt:ID?ep=127.0.0.1:PORT

	client := exampleStack()
	defer client.Close()
	_, err := client.Ping(context.Background(), server.ID())
	fmt.Println("no route without it:", errors.Is(err, bdt.ErrNoRoute))
	ticket, err = identity.ParseTicket(text)
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Learn(ticket); err != nil {
		log.Fatal(err)
	}
	_, err = client.Ping(context.Background(), ticket.ID)
	fmt.Println("with it:", err)
	// Output:
	// no route without it: true
	// with it: <nil>
}

// Ping measures the way to a device's echo service and back.
func ExampleStack_Ping() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	if _, err := server.ServeEcho(); err != nil {
		log.Fatal(err)
	}
	meet(client, server)
	for range 3 { // the first takes as long as a dial
		took, err := client.Ping(context.Background(), server.ID())
		fmt.Println(took > 0, err)
	}
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
}

// Explain tells over which path a device is reached, and what was tried.
func ExampleStack_Explain() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	if _, err := server.ServeEcho(); err != nil {
		log.Fatal(err)
	}
	meet(client, server)
	if _, err := client.Ping(context.Background(), server.ID()); err != nil {
		log.Fatal(err)
	}
	e, ok := client.Explain(server.ID())
	fmt.Println(ok, e.Peer.State, e.Peer.Engine, e.Paths[0].Current)
	for _, l := range e.Lines {
		if l.Text == "connecting" || l.Text == "session open" {
			fmt.Println(l.Text)
		}
	}
	// Output:
	// true connected quic true
	// connecting
	// session open
}

// Reset tells the other end why a stream was abandoned.
func ExampleConn_Reset() {
	server, client := exampleStack(), exampleStack()
	defer server.Close()
	defer client.Close()
	ln, err := server.Listen("upload", bdt.Everyone)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		conn, err := ln.AcceptConn(context.Background())
		if err == nil {
			conn.Reset(507)
		}
	}()
	meet(client, server)
	conn, err := client.Dial(context.Background(), server.ID(), "upload")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	if reset, ok := errors.AsType[*bdt.ResetError](err); ok {
		fmt.Println(reset.Code, reset.Remote)
	}
	// Output: 507 true
}

// On loopback there is no NAT.
func ExampleCheckNetwork() {
	secret := identity.GenerateSecret()
	device, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		log.Fatal(err)
	}
	server, err := sn.Open(sn.Config{Local: &identity.LocalDevice{Secret: secret, Device: device}, Listen: onLoopback})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	report, err := bdt.CheckNetwork(context.Background(), bdt.Config{Listen: onLoopback, SNs: []identity.Ref{server.Ref()}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.UDP.Value, report.IPv4.Mapping.Value, report.SNs[0].State)
	// Output: yes none online
}
