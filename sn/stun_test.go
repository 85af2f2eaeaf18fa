package sn

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
	"github.com/bdtnet/bdt/netsim"
)

// An asker is a socket that keeps the STUN packets it gets.
type asker struct {
	t    *testing.T
	sock *socket.Socket

	mu  sync.Mutex
	got []heard
}

// A heard is an answer, and where it came from.
type heard struct {
	stun.Answer
	from netip.AddrPort
	size int
}

func newAsker(t *testing.T, host *netsim.Host) *asker {
	t.Helper()
	a := &asker{t: t}
	var err error
	a.sock, err = socket.Open(socket.Config{Network: host, Local: netip.AddrPortFrom(host.Addrs()[0], 0), Handler: a})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.sock.Close() })
	return a
}

func (a *asker) HandleControl(*socket.Socket, []byte, netip.AddrPort) {}

func (a *asker) HandleSTUN(_ *socket.Socket, b []byte, from netip.AddrPort) {
	ans, err := stun.ParseAnswer(b)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, heard{ans, from, len(b)})
}

// take returns what was heard since the last time.
func (a *asker) take() []heard {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

// ask sends a query and returns the only answer.
func (a *asker) ask(to netip.AddrPort, q stun.Query) heard {
	a.t.Helper()
	id := stun.NewTransactionID()
	if err := a.sock.Send(to, stun.AppendQuery(nil, id, q)); err != nil {
		a.t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	got := a.take()
	if len(got) != 1 || got[0].ID != id {
		a.t.Fatalf("%+v to %v: %d answers", q, to, len(got))
	}
	return got[0]
}

// stunWorld runs a test with a server on a host that has some addresses, and a
// host beside it.
func stunWorld(t *testing.T, addrs, listen []string, port int, f func(t *testing.T, s *Server, client *netsim.Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, host, client := n.Router("core"), n.Host("sn"), n.Host("client")
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, addrs...))
		netsim.Must(n.Connect(client, core, netsim.LinkConfig{}, "198.51.100.7"))
		cfg := Config{Network: host, Local: newLocal(t, 1, identity.ID{}), STUNPort: port}
		for _, a := range listen {
			cfg.Listen = append(cfg.Listen, netip.MustParseAddrPort(a))
		}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		f(t, s, client)
	})
}

func TestSTUNTwoAddresses(t *testing.T) {
	a := [2]string{"203.0.113.1", "203.0.113.2"}
	listen := []string{a[0] + ":8443", a[1] + ":8443"}
	stunWorld(t, a[:], listen, 0, func(t *testing.T, s *Server, client *netsim.Host) {
		x := newAsker(t, client)
		at := func(ip, port int) netip.AddrPort {
			return netip.AddrPortFrom(netip.MustParseAddr(a[ip&1]), uint16(8443+port&1))
		}
		for ip := range 2 {
			for port := range 2 {
				asked, other := at(ip, port), at(ip+1, port+1)
				for _, c := range []struct {
					query stun.Query
					from  netip.AddrPort
				}{
					{stun.Query{}, asked},
					{stun.Query{Other: true}, asked},
					{stun.Query{ChangePort: true}, at(ip, port+1)},
					{stun.Query{ChangeIP: true}, at(ip+1, port)},
					{stun.Query{ChangeIP: true, ChangePort: true}, other},
				} {
					h := x.ask(asked, c.query)
					if h.from != c.from || h.Origin != c.from || h.Other != other || h.Mapped != netip.AddrPortFrom(client.Addrs()[0], x.sock.LocalAddr().Port()) {
						t.Errorf("%+v to %v: %+v, want from %v, other %v", c.query, asked, h, c.from, other)
					}
					if h.size > 56 {
						t.Errorf("%+v earned %d bytes", c.query, h.size)
					}
				}
			}
		}
	})
}

// With one address there is another port, which is told to who asks for it, and
// the answers to others are as short as ever.
func TestSTUNOneAddress(t *testing.T) {
	asked, second := netip.MustParseAddrPort("203.0.113.1:8443"), netip.MustParseAddrPort("203.0.113.1:8444")
	for name, c := range map[string]struct {
		listen        string
		origin, other netip.AddrPort
	}{
		"named":    {"203.0.113.1:8443", asked, second},
		"wildcard": {"0.0.0.0:8443", netip.AddrPort{}, netip.MustParseAddrPort("0.0.0.0:8444")},
	} {
		t.Run(name, func(t *testing.T) {
			stunWorld(t, []string{"203.0.113.1"}, []string{c.listen}, 0, func(t *testing.T, s *Server, client *netsim.Host) {
				x := newAsker(t, client)
				if h := x.ask(asked, stun.Query{}); h.from != asked || h.Origin.IsValid() || h.Other.IsValid() || h.size != 32 {
					t.Errorf("plain: %+v", h)
				}
				if h := x.ask(asked, stun.Query{Other: true}); h.from != asked || h.Origin != c.origin || h.Other != c.other {
					t.Errorf("other: %+v", h)
				}
				if h := x.ask(asked, stun.Query{ChangePort: true}); h.from != second || h.Other != c.other {
					t.Errorf("change port: %+v", h)
				}
				if h := x.ask(second, stun.Query{ChangePort: true}); h.from != asked {
					t.Errorf("change port at the second: %+v", h)
				}
				for _, q := range []stun.Query{{ChangeIP: true}, {ChangeIP: true, ChangePort: true}} {
					if h := x.ask(asked, q); h.Refused != 420 || h.from != asked {
						t.Errorf("%+v: %+v", q, h)
					}
				}
				if got := s.STUNAddrs(); len(got) != 1 || got[0].Port() != 8444 || len(s.Addrs()) != 1 {
					t.Errorf("second ports %v beside %v", got, s.Addrs())
				}
			})
		})
	}
}

func TestSTUNOnePort(t *testing.T) {
	asked := netip.MustParseAddrPort("203.0.113.1:8443")
	stunWorld(t, []string{"203.0.113.1"}, []string{"203.0.113.1:8443"}, -1, func(t *testing.T, s *Server, client *netsim.Host) {
		x := newAsker(t, client)
		for _, q := range []stun.Query{{Other: true}, {ChangePort: true}, {ChangeIP: true}, {ChangeIP: true, ResponsePort: 9}} {
			if h := x.ask(asked, q); h.Refused != 420 || h.from != asked {
				t.Errorf("%+v: %+v", q, h)
			}
		}
		if len(s.STUNAddrs()) != 0 {
			t.Error("there is a second port")
		}
	})
}

func TestSTUNPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, host := n.Router("core"), n.Host("sn")
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, "203.0.113.1"))
		taken := netsim.Must(host.ListenUDP(netip.MustParseAddrPort("0.0.0.0:8444")))
		defer taken.Close()
		listen := []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8443")}
		for _, c := range []struct {
			port, want int // 0: none
			fails      bool
		}{
			{0, 0, false}, // a port that was not asked for is not missed
			{8444, 0, true},
			{9000, 9000, false},
			{-1, 0, false},
			{65536, 0, true},
		} {
			s, err := Open(Config{Network: host, Local: newLocal(t, 1, identity.ID{}), Listen: listen, STUNPort: c.port})
			if (err != nil) != c.fails {
				t.Errorf("port %d: %v", c.port, err)
			}
			if err != nil {
				continue
			}
			switch got := s.STUNAddrs(); {
			case c.want == 0 && len(got) > 0, c.want > 0 && (len(got) != 1 || int(got[0].Port()) != c.want):
				t.Errorf("port %d: second ports %v", c.port, got)
			}
			s.Close()
		}
	})
}

// An answer to another port goes to the host that asked, and not too often.
func TestResponsePort(t *testing.T) {
	asked := netip.MustParseAddrPort("203.0.113.1:8443")
	stunWorld(t, []string{"203.0.113.1"}, []string{"0.0.0.0:8443"}, 0, func(t *testing.T, s *Server, client *netsim.Host) {
		x, y := newAsker(t, client), newAsker(t, client)
		ask := func(q stun.Query) []heard {
			q.ResponsePort = y.sock.LocalAddr().Port()
			if err := x.sock.Send(asked, stun.AppendQuery(nil, stun.NewTransactionID(), q)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
			if got := x.take(); len(got) > 0 {
				t.Errorf("%+v at the port that asked", got)
			}
			return y.take()
		}
		got := ask(stun.Query{})
		if len(got) != 1 || got[0].from != asked || got[0].Mapped.Port() != x.sock.LocalAddr().Port() || got[0].size != 32 {
			t.Fatalf("%+v", got)
		}
		if got := ask(stun.Query{ChangePort: true}); len(got) != 1 || got[0].from.Port() != 8444 {
			t.Fatalf("from the other port: %+v", got)
		}
		n := 2
		for range 100 {
			n += len(ask(stun.Query{}))
		}
		if want := elsewhereRate.Burst; n != want {
			t.Errorf("%d answers in 0.1 s, want %d", n, want)
		}
		if limited := s.Stats().Limited; limited != 102-uint64(elsewhereRate.Burst) {
			t.Errorf("%d counted as limited", limited)
		}
		x.ask(asked, stun.Query{}) // what is limited is that alone
		time.Sleep(time.Second)
		if got := ask(stun.Query{}); len(got) != 1 {
			t.Errorf("a second later: %+v", got)
		}
	})
}

func TestResponsePortTotal(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		answered := 0
		for i := range 5000 {
			from := addrOf(i)
			r.s.handleSTUN(place{r.sock, from}, stun.AppendQuery(nil, stun.NewTransactionID(), stun.Query{ResponsePort: 9}))
			answered += len(r.sock.take(netip.AddrPortFrom(from.Addr(), 9)))
			if len(r.sock.take(from)) > 0 {
				t.Fatal("answered to the port that asked")
			}
		}
		if answered != elsewhereTotal.Burst {
			t.Errorf("%d answers in one instant, want %d", answered, elsewhereTotal.Burst)
		}
		// IPv6 counts by /64.
		time.Sleep(time.Minute)
		answered = 0
		for i := range 100 {
			from := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}), 9)
			r.s.handleSTUN(place{r.sock, from}, stun.AppendQuery(nil, stun.NewTransactionID(), stun.Query{ResponsePort: 10}))
			answered += len(r.sock.take(netip.AddrPortFrom(from.Addr(), 10)))
		}
		if answered != elsewhereRate.Burst {
			t.Errorf("%d answers to a /64, want %d", answered, elsewhereRate.Burst)
		}
	})
}

// The counters of hosts do not outlive what they are for.
func TestResponsePortForgets(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		for i := range 500 {
			r.s.handleSTUN(place{r.sock, addrOf(i)}, stun.AppendQuery(nil, stun.NewTransactionID(), stun.Query{ResponsePort: 9}))
		}
		time.Sleep(time.Minute)
		if n := r.s.stun.hosts.len(); n > 0 {
			t.Errorf("%d hosts after a minute", n)
		}
	})
}

func TestChanges(t *testing.T) {
	for _, c := range []struct {
		name           string
		listen         []string
		own            int
		port, ip, both int // index into listen; -1: none
	}{
		{"alone", []string{"192.0.2.1:1"}, 0, -1, -1, -1},
		{"two ports", []string{"192.0.2.1:1", "192.0.2.1:2"}, 1, 0, -1, -1},
		{"two addresses", []string{"192.0.2.1:1", "192.0.2.2:1"}, 0, -1, 1, -1},
		{"families do not mix", []string{"192.0.2.1:1", "[2001:db8::1]:1"}, 0, -1, -1, -1},
		{"wildcards are no addresses", []string{"0.0.0.0:1", "0.0.0.0:2", "[::]:1", "[::]:2"}, 2, 3, -1, -1},
		{"three corners", []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"}, 0, 1, 2, -1},
		{"three ports", []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"}, 2, 0, -1, -1},
		{"square", []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "192.0.2.2:2"}, 2, 3, 0, 1},
	} {
		var exits []exit
		for _, a := range c.listen {
			exits = append(exits, exit{newFakeSocket(), netip.MustParseAddrPort(a)})
		}
		got := makeChanges(exits)[exits[c.own].via]
		want := changes{own: exits[c.own]}
		for i, x := range []*exit{&want.port, &want.ip, &want.both} {
			if k := []int{c.port, c.ip, c.both}[i]; k >= 0 {
				*x = exits[k]
			}
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", c.name, got, want)
		}
	}
}
