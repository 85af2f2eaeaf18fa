package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// A world is two devices on one simulated network, each with a public address: near,
// whose Device is tested, and far, a stack that it talks to.
type world struct {
	near *Local
	far  *bdt.Stack
}

// patience bounds what a test waits for; only one that fails takes as long.
const patience = 30 * time.Second

func newWorld(t *testing.T) *world {
	t.Helper()
	n := netsim.New(netsim.Config{Seed: 1})
	t.Cleanup(func() { n.Close() })
	core := n.Router("internet")
	open := func(name, addr string) *bdt.Stack {
		host := n.Host(name)
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, addr))
		ap := netip.AddrPortFrom(netip.MustParseAddr(addr), 4433)
		device, err := keyfile.New(identity.DeviceDesc{}, identity.DeviceBody{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		s, err := bdt.Open(bdt.Config{Device: device, Network: host, Listen: []netip.AddrPort{ap}, Endpoints: []netip.AddrPort{ap}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	near, far := open("near", "203.0.113.1"), open("far", "203.0.113.2")
	if err := far.Learn(near.Ticket()); err != nil {
		t.Fatal(err)
	}
	if _, err := far.ServeEcho(); err != nil {
		t.Fatal(err)
	}
	return &world{NewLocal(near, About{Command: "bdt test", Version: "v0", Started: time.Now()}), far}
}

// serve lets other processes use the near device, and connects to it as one.
func (w *world) serve(t *testing.T) (*Server, *Client) {
	t.Helper()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	claim, err := Take(w.near.ID(), Holder{PID: os.Getpid(), Command: "bdt test"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(claim, w.near, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	c, err := Connect(context.Background(), w.near.ID())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

// accept serves a name at the far device and returns the next stream.
func (w *world) accept(t *testing.T, service string) <-chan *bdt.Conn {
	t.Helper()
	ln, err := w.far.Listen(service, bdt.Everyone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	conns := make(chan *bdt.Conn, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(conns)
		if c, err := ln.AcceptConn(ctx); err == nil {
			conns <- c
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return conns
}

// within is a context that ends in time for a test to fail.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, fmt.Errorf("the test took longer than %v", patience))
	t.Cleanup(cancel)
	return ctx
}
