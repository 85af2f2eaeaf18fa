package netsim

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// No datagram passes a box that blocks UDP, either way, and TCP does.
func TestBlockUDP(t *testing.T) {
	for name, cfg := range map[string]NATConfig{"NAT": {BlockUDP: true}, "firewall": {BlockUDP: true, NoTranslation: true}} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				core, box := n.Router("core"), n.NAT("box", cfg)
				a, b, s1 := n.Host("a"), n.Host("b"), n.Host("s1")
				wan := natAddr
				if cfg.NoTranslation {
					wan = "198.18.1.0/24"
				}
				link := LinkConfig{Delay: time.Millisecond}
				Must(n.Connect(box, core, link, wan))
				Must(n.Connect(a, box, link, "198.18.1.2/24"))
				Must(n.Connect(b, box, link, "198.18.1.3/24"))
				Must(n.Connect(s1, core, link, s1Addr))
				in, out := listen(t, a, "0.0.0.0:5000"), listen(t, s1, s1Addr+":1")
				in.send(out.conn.LocalAddr(), "x")
				out.wantNone()
				out.send(addr(natAddr+":5000"), "x")
				out.send(addr("198.18.1.2:5000"), "x")
				in.wantNone()
				listen(t, b, "0.0.0.0:5000").send(addr("198.18.1.2:5000"), "within the network")
				in.want("within the network")
				l, err := s1.Listen("tcp4", s1Addr+":443")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				c, err := a.DialContext(t.Context(), "tcp4", s1Addr+":443")
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
			})
		})
	}
}

// What a box does not let pass, it does not turn around either.
func TestBlockedHairpin(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  NATConfig
		in   bool
	}{
		{"free", NATConfig{}, true},
		{"no UDP", NATConfig{BlockUDP: true}, false},
		{"other ports only", NATConfig{AllowPorts: [4]uint16{443}}, false},
		{"its port", NATConfig{AllowPorts: [4]uint16{443, 6000}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg := c.cfg
				cfg.Hairpin = true
				x := newBehind(n, cfg)
				a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:6000")
				b.send(addr(s1Addr+":443"), "to have a mapping")
				settle()
				a.send(addr(natAddr+":6000"), "around")
				if c.in {
					b.want("around")
				} else {
					b.wantNone()
				}
			})
		})
	}
}

// Only the ports that are allowed can be reached, of either protocol; what comes back passes.
func TestAllowPorts(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{AllowPorts: [4]uint16{443}})
		a := listen(t, x.a, "0.0.0.0:5000")
		open, shut := listen(t, x.s1, s1Addr+":443"), listen(t, x.s1, s1Addr+":444")
		a.send(open.conn.LocalAddr(), "x")
		open.send(open.want("x").Addr, "back")
		a.want("back")
		a.send(shut.conn.LocalAddr(), "x")
		shut.wantNone()
		if mappings := len(x.nat.mappings.entries); mappings != 1 {
			t.Errorf("%d mappings, one of what did not pass", mappings)
		}
		for _, port := range []string{":443", ":444"} {
			l, err := x.s1.Listen("tcp4", s1Addr+port)
			if err != nil {
				t.Fatal(err)
			}
			d := func() error {
				c, err := x.a.DialContext(within(t, 10*time.Second), "tcp4", s1Addr+port)
				if err == nil {
					c.Close()
				}
				return err
			}
			if err := d(); (err == nil) != (port == ":443") || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("TCP to %s: %v", port, err)
			}
			l.Close()
		}
	})
}

// A throttled box lets as much UDP pass as its rate allows, each way on its own, and drops the rest.
func TestUDPRate(t *testing.T) {
	const rate, size, every = 80_000, 1000, 10 * time.Millisecond // offered: ten times the rate
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, NATConfig{UDPRate: rate})
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		data := make([]byte, size-28)
		const seconds = 10
		for range seconds * int(time.Second/every) {
			a.write(underlay.Datagram{Addr: s.conn.LocalAddr(), Data: data})
			time.Sleep(every)
		}
		settle()
		// A packet takes 100 ms of the rate, 4 KiB may be ahead of it, and the last is sent
		// after 9.99 s: (9.99 + 0.4096) / 0.1 is 103.996.
		const want = 103
		if got := len(s.drain()); got != want {
			t.Errorf("%d packets passed in %d s, want %d", got, seconds, want)
		}
		if got := x.nat.Stats().Packets[DropRate]; got != seconds*100-want {
			t.Errorf("%d packets dropped", got)
		}
		s.send(addr(natAddr+":5000"), "the other way is free")
		a.want("the other way is free")
	})
}

// within returns a context that ends after a virtual time.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
