package netsim

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

func TestConnectErrors(t *testing.T) {
	n, other := New(Config{}), New(Config{})
	defer n.Close()
	defer other.Close()
	core, a, b, nat := n.Router("core"), n.Host("a"), n.Host("b"), n.NAT("nat", FullCone)
	Must(n.Connect(a, core, LinkConfig{}, "198.51.100.1/24"))
	Must(n.Connect(nat, core, LinkConfig{}, "198.51.100.9"))
	for _, c := range []struct {
		low, up Node
		cfg     LinkConfig
		addrs   string
		want    string
	}{
		{nil, core, LinkConfig{}, "", "two different nodes"},
		{a, nil, LinkConfig{}, "", "two different nodes"},
		{core, core, LinkConfig{}, "", "two different nodes"},
		{b, other.Router("r"), LinkConfig{}, "", "two different nodes"},
		{b, core, LinkConfig{Loss: 2}, "", "loss"},
		{b, core, LinkConfig{}, "nonsense", "unable to parse"},
		{b, core, LinkConfig{}, "198.51.100.2/33", "out of range"},
		{b, core, LinkConfig{}, "fe80::1%eth0", "zone"},
		{b, core, LinkConfig{}, "127.0.0.1/8", "cannot be"},
		{b, core, LinkConfig{}, "0.0.0.0", "cannot be"},
		{b, core, LinkConfig{}, "224.0.0.1", "cannot be"},
		{b, core, LinkConfig{}, "::ffff:198.51.100.2", "cannot be"},
		{b, core, LinkConfig{}, "198.51.100.1", "in use"},
		{a, nat, LinkConfig{}, "198.51.100.1", "in use"},
		{n.Router("r"), core, LinkConfig{}, "198.51.100.1/32", "in use"},
		{nat, n.Router("r"), LinkConfig{}, "203.0.113.1", "one uplink"},
		{n.NAT("two", FullCone), core, LinkConfig{}, "203.0.113.1 203.0.113.2", "one external"},
		{n.NAT("taken", FullCone), core, LinkConfig{}, "198.51.100.1", "in use"},
	} {
		if _, err := n.Connect(c.low, c.up, c.cfg, strings.Fields(c.addrs)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s to %s with %q: %v, want %q", nodeName(c.low), nodeName(c.up), c.addrs, err, c.want)
		}
	}
	if got := b.Addrs(); got != nil {
		t.Errorf("b has addresses %v", got)
	}
	n.Close()
	if _, err := n.Connect(b, core, LinkConfig{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestMust(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n := New(Config{})
	defer n.Close()
	Must(n.Connect(nil, nil, LinkConfig{}))
}

func TestNames(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		h := n.Host("h")
		a4, a6 := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")
		n.SetName("SN.example.", a4, a6, netip.MustParseAddr("::ffff:192.0.2.1"))
		got, err := h.LookupNetIP(t.Context(), "sn.Example")
		if err != nil || len(got) != 3 || got[0] != a4 || got[1] != a6 || got[2] != netip.MustParseAddr("192.0.2.1") {
			t.Errorf("%v, %v", got, err)
		}
		n.SetName("sn.example")
		var notFound *net.DNSError
		if _, err := h.LookupNetIP(t.Context(), "sn.example"); !errors.As(err, &notFound) || !notFound.IsNotFound {
			t.Errorf("removed name: %v", err)
		}
	})
}

// TestClose: everything that waits in the network wakes, and packets in
// motion are gone.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{})
		p := newPair(t, n, LinkConfig{Delay: time.Second})
		p.up("in flight")
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			defer close(done)
			n.Close()
		}()
		n.Close()
		<-done
		if d, open := <-p.z.got; open {
			t.Errorf("got %q", d.Data)
		}
		if _, err := p.a.conn.WriteBatch(make([]underlay.Datagram, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after Close: %v", err)
		}
		if _, err := p.a.conn.(*socket).host.ListenUDP(addr("0.0.0.0:0")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("listen after Close: %v", err)
		}
	})
}

// TestRealTime runs outside a bubble. Only what must not be early is asserted.
func TestRealTime(t *testing.T) {
	n := New(Config{})
	defer n.Close()
	const delay = 2 * time.Millisecond
	p := newPair(t, n, LinkConfig{Delay: delay})
	for range 20 {
		start := time.Now()
		p.up("ping")
		d := <-p.z.got
		p.z.send(d.Addr, "pong")
		if d := <-p.a.got; string(d.Data) != "pong" {
			t.Fatalf("got %q", d.Data)
		}
		if took := time.Since(start); took < 2*delay {
			t.Fatalf("a round trip took %v", took)
		}
	}
}
