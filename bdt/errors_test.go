package bdt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// noSN is a Config without a super node.
func noSN(c *bdt.Config) { c.SNs = nil }

// wantOp checks that an error names its operation and its cause.
func wantOp(t *testing.T, err error, op string, cause error) {
	t.Helper()
	var oe *bdt.OpError
	if !errors.As(err, &oe) || oe.Op != op {
		t.Errorf("%v is not an OpError of %q", err, op)
	}
	if cause != nil && !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
}

func TestDialErrors(t *testing.T) {
	ghost := newDevice(t, "ghost").Device
	owner := newZone(t, time.Hour).people
	tests := []struct {
		name   string
		change func(*bdt.Config)
		learn  *identity.Ticket
		id     identity.ID // zero: the stack's own
		cut    bool        // the way to the internet, from the start of the dial
		want   error
		within time.Duration
		least  time.Duration
	}{
		{name: "nobody knows the id", id: ghost.ID(), want: bdt.ErrNotFound, within: 1500 * time.Millisecond},
		{
			name: "no SN, no address, no answer from the local network", change: noSN, id: ghost.ID(),
			want: bdt.ErrNoRoute, within: 1500 * time.Millisecond, least: 1500 * time.Millisecond,
		},
		{
			name: "no SN, no address, no local network", id: ghost.ID(), want: bdt.ErrNoRoute,
			change: func(c *bdt.Config) { c.SNs, c.NoLAN = nil, true },
		},
		{name: "the SN is cut off", id: ghost.ID(), cut: true, want: bdt.ErrOffline, within: 15 * time.Second},
		{
			name: "an address that does not answer", change: noSN, id: ghost.ID(),
			learn: &identity.Ticket{ID: ghost.ID(), Device: ghost, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.77:9")}},
			want:  bdt.ErrUnreachable, within: 15 * time.Second, least: 15 * time.Second,
		},
		{
			name: "a shorter timeout", id: ghost.ID(),
			change: func(c *bdt.Config) { c.SNs, c.DialTimeout = nil, 3*time.Second },
			learn:  &identity.Ticket{ID: ghost.ID(), Endpoints: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.77:9")}},
			want:   bdt.ErrUnreachable, within: 3 * time.Second, least: 3 * time.Second,
		},
		{name: "oneself"},
		{name: "an owner nobody knows", id: owner.ID(), want: bdt.ErrOwnerNotFound, within: 100 * time.Millisecond},
		{name: "content", id: chunk(t)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
				var change []func(*bdt.Config)
				if tt.change != nil {
					change = append(change, tt.change)
				}
				s := w.open("alice", w.behind("alice", netsim.PortRestricted, time.Millisecond, "198.51.100.1"), change...)
				defer closeAll(t, s)
				if tt.learn != nil {
					if err := s.Learn(*tt.learn); err != nil {
						t.Fatal(err)
					}
				}
				if tt.cut {
					w.cutter("alice")(true)
					time.Sleep(time.Minute)
				}
				id := tt.id
				if id.IsZero() {
					id = s.ID()
				}
				var err error
				took := elapsed(func() { _, err = s.Dial(context.Background(), id, "x") })
				if err == nil {
					t.Fatal("dialled")
				}
				wantOp(t, err, "dial", tt.want)
				if took > tt.within || took < tt.least {
					t.Errorf("failed after %v, want %v to %v", took, tt.least, tt.within)
				}
				t.Logf("%v after %v", err, took)
			})
		})
	}
}

// A device that the SN knows and whose packets do not pass is unreachable; the
// context cuts the wait short at once.
func TestUnreachable(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", netsim.Symmetric, time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", netsim.Symmetric, time.Millisecond, "198.51.100.2"))
		defer closeAll(t, alice, bob)
		w.cutter("bob")(true) // the SN goes on to believe in bob for 300 s

		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(700*time.Millisecond, cancel)
		var err error
		took := elapsed(func() { _, err = alice.Dial(ctx, bob.ID(), "x") })
		if !errors.Is(err, context.Canceled) || took != 700*time.Millisecond {
			t.Errorf("canceled dial: %v after %v", err, took)
		}

		// One that joins the work of another still has all of its own time.
		start := time.Now()
		go func() {
			time.Sleep(10 * time.Second)
			_, err := alice.Dial(context.Background(), bob.ID(), "x")
			if took := time.Since(start); !errors.Is(err, bdt.ErrUnreachable) || took != 25*time.Second {
				t.Errorf("the second dial: %v, %v after the first", err, took)
			}
		}()
		took = elapsed(func() { _, err = alice.Dial(context.Background(), bob.ID(), "x") })
		if !errors.Is(err, bdt.ErrUnreachable) || took != 15*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Minute)
		if st, _ := alice.Peer(bob.ID()); st.State != "idle" {
			t.Errorf("after all have given up the peer is %s", st.State)
		}
	})
}

// With no bound of its own a dial ends with its context, and so does the work.
func TestNoDialTimeout(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.public("alice", time.Millisecond, "203.0.113.11"), func(c *bdt.Config) {
			c.SNs, c.DialTimeout = nil, -1
		})
		defer closeAll(t, alice)
		ghost := newDevice(t, "ghost").Device
		alice.Learn(identity.Ticket{ID: ghost.ID(), Device: ghost, Endpoints: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.77:9")}})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		var err error
		took := elapsed(func() { _, err = alice.Dial(ctx, ghost.ID(), "x") })
		if !errors.Is(err, context.DeadlineExceeded) || took != time.Hour {
			t.Errorf("%v after %v", err, took)
		}
		time.Sleep(time.Minute)
		if st, _ := alice.Peer(ghost.ID()); st.State != "idle" {
			t.Errorf("a minute after nobody wants it any more the peer is %s", st.State)
		}
	})
}

func TestBadServiceNames(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		s := w.open("alice", w.public("alice", time.Millisecond, "203.0.113.11"), noSN)
		defer closeAll(t, s)
		for _, name := range []string{"", "a b", "ä", "x\x00", strings.Repeat("a", 65)} {
			_, err := s.Listen(name, nil)
			wantOp(t, err, "listen", nil)
			_, err = s.Dial(context.Background(), newDevice(t, "x").Device.ID(), name)
			wantOp(t, err, "dial", nil)
			if errors.Is(err, bdt.ErrNoRoute) {
				t.Errorf("service %q went as far as the network", name)
			}
		}
		l := listen(t, s, strings.Repeat("a", 64))
		_, err := s.Listen(strings.Repeat("a", 64), nil)
		wantOp(t, err, "listen", bdt.ErrServiceInUse)
		l.Close()
		listen(t, s, strings.Repeat("a", 64))
	})
}

// After Close every method says so, and none blocks.
func TestClosedStack(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, bob)
		bob.ServeEcho()
		l := listen(t, alice, "mine")
		c, err := alice.Dial(context.Background(), bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		closeAll(t, alice, alice)

		ctx := context.Background()
		id := bob.ID()
		_, err = alice.Dial(ctx, id, "x")
		wantOp(t, err, "dial", bdt.ErrClosed)
		_, err = alice.Ping(ctx, id)
		wantOp(t, err, "dial", net.ErrClosed)
		_, err = alice.Listen("x", nil)
		wantOp(t, err, "listen", bdt.ErrClosed)
		_, err = alice.ServeEcho()
		wantOp(t, err, "listen", bdt.ErrClosed)
		_, err = l.Accept()
		wantOp(t, err, "accept", bdt.ErrClosed)
		if err := l.Close(); err != nil {
			t.Errorf("closing the listener again: %v", err)
		}
		wantOp(t, alice.WaitOnline(ctx), "go online", bdt.ErrClosed)
		wantOp(t, alice.PublishOwner(ctx, newZone(t, time.Hour).people), "publish owner", bdt.ErrClosed)
		if alice.Online() {
			t.Error("online")
		}
		_, err = c.Read(make([]byte, 1))
		wantOp(t, err, "read", bdt.ErrClosed)
		_, err = c.Write([]byte("x"))
		wantOp(t, err, "write", bdt.ErrClosed)
		if err := alice.Learn(identity.Ticket{ID: id}); err != nil {
			t.Errorf("Learn: %v", err)
		}
		if e, ok := alice.Explain(id); ok && e.Peer.State == "connected" {
			t.Errorf("still connected: %+v", e)
		}
		for _, sn := range alice.SNs() {
			if sn.State != "closed" {
				t.Errorf("SN is %s", sn.State)
			}
		}
		if alice.ID().IsZero() || alice.Device() == nil || alice.Ticket().ID != alice.ID() {
			t.Error("identity is gone")
		}
	})
}

func TestOpenErrors(t *testing.T) {
	damaged := filepath.Join(t.TempDir(), "stamps")
	if err := os.WriteFile(damaged, []byte("12x4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mixed := newDevice(t, "a")
	mixed.Secret = identity.GenerateSecret()
	ref := identity.Ref{ID: newDevice(t, "sn").Device.ID(), Addr: "203.0.113.1:8443"}
	many := make([]netip.AddrPort, 200)
	for i := range many {
		many[i] = netip.AddrPortFrom(netip.MustParseAddr("203.0.113.9"), uint16(i+1))
	}
	for name, tt := range map[string]struct {
		change func(*bdt.Config)
		says   string
	}{
		"damaged stamps":         {func(c *bdt.Config) { c.StampFile = damaged }, damaged},
		"stamps in a directory":  {func(c *bdt.Config) { c.StampFile = filepath.Dir(damaged) }, ""},
		"another's secret":       {func(c *bdt.Config) { c.Device = mixed }, ""},
		"an address we have not": {func(c *bdt.Config) { c.Listen = []netip.AddrPort{netip.MustParseAddrPort("203.0.113.200:1")} }, "203.0.113.200"},
		"too many endpoints":     {func(c *bdt.Config) { c.Endpoints = many }, ""},
		"an SN named twice":      {func(c *bdt.Config) { c.SNs = []identity.Ref{ref, ref} }, "repeat"},
		"unknown visibility":     {func(c *bdt.Config) { c.Visibility = 7 }, "visibility"},
		"keepalive without unit": {func(c *bdt.Config) { c.KeepAlive = 5 }, "KeepAlive"},
		"negative keepalive":     {func(c *bdt.Config) { c.KeepAlive = -1 }, "KeepAlive"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
				cfg := bdt.Config{Network: w.public("h", time.Millisecond, "203.0.113.11")}
				tt.change(&cfg)
				s, err := bdt.Open(cfg)
				if err == nil {
					s.Close()
					t.Fatal("opened")
				}
				wantOp(t, err, "open", nil)
				if !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%q does not say %q", err, tt.says)
				}
			})
		})
	}
}

// An empty list of addresses is as good as none.
func TestListenOnNothing(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		s := w.open("alice", w.public("alice", time.Millisecond, "203.0.113.11"), noSN,
			func(c *bdt.Config) { c.Listen = []netip.AddrPort{} })
		defer closeAll(t, s)
		if len(s.LocalAddrs()) != 2 {
			t.Errorf("bound to %v", s.LocalAddrs())
		}
	})
}

// The peer's Close is known at once; its loss after 30 s. After either the
// next Dial opens a new session.
func TestSessionEnds(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.1"))
		defer closeAll(t, alice)
		host := w.behind("bob", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.2")
		device := newDevice(t, "bob")
		same := func(c *bdt.Config) { c.Device, c.Listen = device, fixedPort }
		bob := w.open("bob", host, same)
		l := listen(t, bob, "s")

		a, _ := connect(t, alice, l)
		time.Sleep(time.Second)
		start := time.Now()
		bob.Close()
		if err := readByte(a); !errors.Is(err, bdt.ErrPeerClosed) {
			t.Errorf("after the peer closed: %v", err)
		}
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("known after %v", took)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, bdt.ErrPeerClosed) {
			t.Errorf("write after the peer closed: %v", err)
		}

		bob = w.open("bob", host, same)
		l = listen(t, bob, "s")
		a, _ = connect(t, alice, l)
		time.Sleep(time.Second)
		w.cutter("bob")(true)
		start = time.Now()
		a.Write([]byte("anybody there?"))
		if err := readByte(a); !errors.Is(err, bdt.ErrPeerLost) {
			t.Errorf("after the peer was lost: %v", err)
		}
		if took := time.Since(start); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("lost after %v", took)
		}
		w.cutter("bob")(false)
		time.Sleep(time.Minute)
		a, b := connect(t, alice, l)
		go b.Write([]byte("!"))
		if err := readByte(a); err != nil {
			t.Errorf("over the new session: %v", err)
		}
		closeAll(t, bob)
		if n := sessionsOpened(alice); n != 3 {
			t.Errorf("%d sessions, want 3", n)
		}
	})
}

// Errors of a stream are net.Errors that know a timeout, as net/http asks.
func TestErrorIsNetError(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		a, _ := connect(t, alice, listen(t, bob, "s"))
		a.SetReadDeadline(time.Now().Add(time.Second))
		err := readByte(a)
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("deadline: %T %v", err, err)
		}
		a.SetReadDeadline(time.Time{})
		bob.Close()
		err = readByte(a)
		if ne, ok := err.(net.Error); !ok || ne.Timeout() || err == io.EOF {
			t.Errorf("end of the session: %T %v", err, err)
		}
	})
}
