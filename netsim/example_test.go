package netsim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A host behind a NAT asks a server on the internet, here in real time. Inside
// a testing/synctest bubble the same code takes no time at all.
func Example() {
	n := netsim.New(netsim.Config{Seed: 1})
	defer n.Close()

	core := n.Router("internet")
	home := n.NAT("home", netsim.PortRestricted)
	alice, server := n.Host("alice"), n.Host("server")
	wan := netsim.LinkConfig{Delay: 2 * time.Millisecond}
	netsim.Must(n.Connect(server, core, wan, "203.0.113.1"))
	netsim.Must(n.Connect(home, core, wan, "198.51.100.7"))
	netsim.Must(n.Connect(alice, home, netsim.LinkConfig{}, "198.18.1.2/24"))

	ask := netsim.Must(alice.ListenUDP(netip.MustParseAddrPort("0.0.0.0:5000")))
	answer := netsim.Must(server.ListenUDP(netip.MustParseAddrPort("0.0.0.0:3478")))
	question := underlay.Datagram{Addr: netip.MustParseAddrPort("203.0.113.1:3478"), Data: []byte("who am I?")}
	if _, err := ask.WriteBatch([]underlay.Datagram{question}); err != nil {
		fmt.Println(err)
	}
	ds := []underlay.Datagram{{Data: make([]byte, 1500)}}
	if _, err := answer.ReadBatch(ds); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s from %v\n", ds[0].Data, ds[0].Addr)
	// Output: who am I? from 198.51.100.7:5000
}

// An HTTP server and a client on simulated hosts, over TCP that is simulated as well.
func ExampleHost_DialContext() {
	n := netsim.New(netsim.Config{Seed: 1})
	defer n.Close()
	core := n.Router("internet")
	laptop, server := n.Host("laptop"), n.Host("server")
	netsim.Must(n.Connect(laptop, core, netsim.LinkConfig{Delay: time.Millisecond}, "198.51.100.7"))
	netsim.Must(n.Connect(server, core, netsim.LinkConfig{Delay: time.Millisecond}, "203.0.113.1"))
	n.SetName("www.example.net", netip.MustParseAddr("203.0.113.1"))

	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "hello %s", host)
	})}
	go srv.Serve(netsim.Must(server.Listen("tcp", ":80")))
	defer srv.Close()

	client := &http.Client{Transport: &http.Transport{DialContext: laptop.DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://www.example.net/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: hello 198.51.100.7
}

// A socket for stacks that want a net.PacketConn.
func ExampleHost_ListenPacket() {
	n := netsim.New(netsim.Config{Seed: 1})
	defer n.Close()
	core, a, b := n.Router("internet"), n.Host("a"), n.Host("b")
	netsim.Must(n.Connect(a, core, netsim.LinkConfig{}, "198.51.100.7"))
	netsim.Must(n.Connect(b, core, netsim.LinkConfig{}, "203.0.113.1"))

	rx := netsim.Must(a.ListenPacket("udp", ":3478"))
	tx := netsim.Must(b.DialContext(context.Background(), "udp", "198.51.100.7:3478"))
	if _, err := tx.Write([]byte("ping")); err != nil {
		fmt.Println(err)
	}
	buf := make([]byte, 1500)
	k, from, err := rx.ReadFrom(buf)
	fmt.Println(string(buf[:k]), from.(*net.UDPAddr).IP, err)
	// Output: ping 203.0.113.1 <nil>
}
