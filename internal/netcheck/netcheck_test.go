package netcheck_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/netcheck"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A layout is which servers there are.
type layout struct {
	name    string
	servers []server
}

// A server is an SN on a host of its own.
type server struct {
	addrs  []string // of the host, and what it listens on, port 8443
	port   int      // sn.Config.STUNPort
	delay  time.Duration
	silent bool // it is not there
}

var (
	oneAddress   = layout{"one address", []server{{addrs: []string{"203.0.113.1", "2001:db8::1"}}}}
	twoAddresses = layout{"two addresses", []server{{addrs: []string{"203.0.113.1", "203.0.113.2", "2001:db8::1", "2001:db8::2"}}}}
	twoServers   = layout{"two servers", []server{
		{addrs: []string{"203.0.113.1", "2001:db8::1"}},
		{addrs: []string{"203.0.113.65", "2001:db8:1::1"}, delay: 40 * time.Millisecond},
	}}
	onePort  = layout{"one port", []server{{addrs: []string{"203.0.113.1", "2001:db8::1"}, port: -1}}}
	onePorts = layout{"two servers of one port", []server{
		{addrs: []string{"203.0.113.1", "2001:db8::1"}, port: -1},
		{addrs: []string{"203.0.113.65", "2001:db8:1::1"}, port: -1},
	}}
	layouts = []layout{oneAddress, twoAddresses, twoServers, onePort, onePorts}
)

// A world is a simulated internet with the servers of a layout.
type world struct {
	t       *testing.T
	net     *netsim.Network
	core    *netsim.Router
	servers [][]netip.AddrPort
}

func inWorld(t *testing.T, l layout, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1})}
		defer w.net.Close()
		w.core = w.net.Router("core")
		for i, s := range l.servers {
			host := w.net.Host(fmt.Sprint("sn", i))
			netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: 5*time.Millisecond + s.delay}, s.addrs...))
			var listen []netip.AddrPort
			for _, a := range s.addrs {
				listen = append(listen, netip.AddrPortFrom(netip.MustParseAddr(a), 8443))
			}
			w.servers = append(w.servers, []netip.AddrPort{listen[0], listen[len(listen)/2]}) // of each family the first
			if s.silent {
				continue
			}
			server, err := sn.Open(sn.Config{Network: host, Local: newLocal(t, i), Listen: listen, STUNPort: s.port})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
		}
		f(t, w)
	})
}

func newLocal(t *testing.T, n int) *identity.LocalDevice {
	t.Helper()
	secret := identity.SecretFromSeed([32]byte{byte(n), 9})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

// behind adds a host behind a NAT that has an IPv6 prefix, too.
func (w *world) behind(nat netsim.NATConfig, lan netsim.LinkConfig) *netsim.Host {
	w.t.Helper()
	h, n := w.net.Host("client"), w.net.NAT("nat", nat)
	wan := []string{"198.51.100.7", "2001:db8:7::/64"}
	if nat.NoTranslation {
		wan = []string{"198.51.100.0/24", "2001:db8:7::/64"}
	}
	netsim.Must(w.net.Connect(n, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan...))
	inner := "192.168.1.2/24"
	if nat.NoTranslation {
		inner = "198.51.100.9/24"
	}
	netsim.Must(w.net.Connect(h, n, lan, inner, "2001:db8:7::2/64"))
	return h
}

// examine examines from a host, and checks how long that takes.
func (w *world) examine(ctx context.Context, host *netsim.Host) *netcheck.Report {
	w.t.Helper()
	start := time.Now()
	r, err := netcheck.Examine(ctx, netcheck.Config{
		Network: host, Servers: w.servers,
		Bind: []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if took := time.Since(start); took > netcheck.Limit {
		w.t.Errorf("took %v", took)
	}
	return r
}

var behaviors = map[netsim.Behavior]string{
	netsim.EndpointIndependent:     netcheck.EndpointIndependent,
	netsim.AddressDependent:        netcheck.AddressDependent,
	netsim.AddressAndPortDependent: netcheck.AddressAndPortDependent,
}

// knowable is what an examination must say: the truth, or that it cannot be told
// with these servers.
func knowable(l layout, nat netsim.NATConfig) (mapping, filtering, hairpin string) {
	mapping, filtering = behaviors[nat.Mapping], behaviors[nat.Filtering]
	switch l.name {
	case oneAddress.name: // only what depends on the port is to be seen
		if nat.Mapping != netsim.AddressAndPortDependent {
			mapping = netcheck.Unknown
		}
		if nat.Filtering != netsim.AddressAndPortDependent {
			filtering = netcheck.Unknown
		}
	case onePorts.name: // only what depends on anything
		if nat.Mapping != netsim.EndpointIndependent {
			mapping = netcheck.Unknown
		}
		if nat.Filtering != netsim.EndpointIndependent {
			filtering = netcheck.Unknown
		}
	case onePort.name:
		mapping, filtering = netcheck.Unknown, netcheck.Unknown
	}
	reached := nat.Mapping == netsim.EndpointIndependent || nat.Filtering == netsim.EndpointIndependent
	conclusive := mapping == netcheck.EndpointIndependent || filtering == netcheck.EndpointIndependent
	switch {
	case nat.Hairpin && reached:
		hairpin = netcheck.Yes
	case !nat.Hairpin && conclusive:
		hairpin = netcheck.No
	default:
		hairpin = netcheck.Unknown
	}
	return mapping, filtering, hairpin
}

// Every NAT that there is, seen from every layout of servers.
func TestNATs(t *testing.T) {
	for _, l := range layouts {
		for mapping := range behaviors {
			for filtering := range behaviors {
				for _, hairpin := range []bool{false, true} {
					for _, ports := range []netsim.PortPolicy{netsim.PreservePort, netsim.RandomPort} {
						nat := netsim.NATConfig{Mapping: mapping, Filtering: filtering, Ports: ports, Hairpin: hairpin}
						t.Run(fmt.Sprintf("%s/%s mapping, %s filtering, hairpin %v, ports %d", l.name, behaviors[mapping], behaviors[filtering], hairpin, ports), func(t *testing.T) {
							testNAT(t, l, nat)
						})
					}
				}
			}
		}
	}
}

func testNAT(t *testing.T, l layout, nat netsim.NATConfig) {
	inWorld(t, l, func(t *testing.T, w *world) {
		r := w.examine(t.Context(), w.behind(nat, netsim.LinkConfig{}))
		f := r.IPv4
		mapping, filtering, hairpin := knowable(l, nat)
		preserved := netcheck.Yes
		if nat.Ports == netsim.RandomPort {
			preserved = netcheck.No
		}
		if !f.Works || f.Observed.Addr() != netip.MustParseAddr("198.51.100.7") {
			t.Errorf("works %v, observed %v", f.Works, f.Observed)
		}
		check(t, "mapping", f.Mapping, mapping)
		check(t, "filtering", f.Filtering, filtering)
		check(t, "hairpin", f.Hairpin, hairpin)
		check(t, "port preservation", f.PortPreservation, preserved)

		// IPv6 is not translated, but filtered all the same.
		check(t, "IPv6 mapping", r.IPv6.Mapping, netcheck.None)
		check(t, "IPv6 filtering", r.IPv6.Filtering, filtering)
		check(t, "IPv6 hairpin", r.IPv6.Hairpin, netcheck.None)
		for i, s := range r.Servers {
			rtt := 2 * (15*time.Millisecond + l.servers[i].delay)
			if s.IPv4.RTT != rtt || s.IPv6.RTT != rtt || s.IPv4.Observed.Addr() != f.Observed.Addr() {
				t.Errorf("server %d: %+v, want a round trip of %v", i, s, rtt)
			}
			if want := l.name == twoAddresses.name; s.IPv4.Address2 != want || s.IPv6.Address2 != want {
				t.Errorf("server %d: %+v", i, s)
			}
			if want := 2 + min(l.servers[i].port, 0); s.IPv4.Ports != want || s.IPv6.Ports != want {
				t.Errorf("server %d: %+v, want %d ports", i, s, want)
			}
		}
	})
}

func check(t *testing.T, what string, got netcheck.Verdict, want string) {
	t.Helper()
	if got.Value != want {
		t.Errorf("%s is %s (%s), want %s", what, got.Value, got.Why, want)
	}
	if (got.Value == netcheck.Unknown) != (got.Why != "") {
		t.Errorf("%s is %s because %q", what, got.Value, got.Why)
	}
}

func TestFirewall(t *testing.T) {
	for filtering, name := range behaviors {
		t.Run(name, func(t *testing.T) {
			inWorld(t, twoAddresses, func(t *testing.T, w *world) {
				r := w.examine(t.Context(), w.behind(netsim.NATConfig{Filtering: filtering, NoTranslation: true}, netsim.LinkConfig{}))
				check(t, "mapping", r.IPv4.Mapping, netcheck.None)
				check(t, "filtering", r.IPv4.Filtering, name)
				check(t, "hairpin", r.IPv4.Hairpin, netcheck.None)
			})
		})
	}
}

func TestPublic(t *testing.T) {
	inWorld(t, twoServers, func(t *testing.T, w *world) {
		h := w.net.Host("client")
		netsim.Must(w.net.Connect(h, w.core, netsim.LinkConfig{}, "198.51.100.9"))
		r := w.examine(t.Context(), h)
		check(t, "mapping", r.IPv4.Mapping, netcheck.None)
		check(t, "filtering", r.IPv4.Filtering, netcheck.EndpointIndependent)
		if r.IPv6.Works || !r.IPv6.Asked || r.Servers[0].IPv6.RTT != 0 {
			t.Errorf("IPv6 of a host that has none: %+v, %+v", r.IPv6, r.Servers[0])
		}
	})
}

// Nothing answers: that is found out in time, and said.
func TestBlocked(t *testing.T) {
	silent := layout{"silent", []server{{addrs: []string{"203.0.113.1", "2001:db8::1"}, silent: true}}}
	inWorld(t, silent, func(t *testing.T, w *world) {
		start := time.Now()
		r := w.examine(t.Context(), w.behind(netsim.PortRestricted, netsim.LinkConfig{}))
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		for _, f := range []netcheck.Family{r.IPv4, r.IPv6} {
			if f.Works || !f.Asked || f.Observed.IsValid() {
				t.Errorf("%+v", f)
			}
			check(t, "mapping", f.Mapping, netcheck.Unknown)
			check(t, "filtering", f.Filtering, netcheck.Unknown)
			check(t, "hairpin", f.Hairpin, netcheck.Unknown)
			check(t, "port preservation", f.PortPreservation, netcheck.Unknown)
		}
	})
}

// One server is dead, another alive: that one counts.
func TestOneOfTwo(t *testing.T) {
	l := layout{"one of two", []server{{addrs: []string{"203.0.113.65", "2001:db8:1::1"}, silent: true}, oneAddress.servers[0]}}
	inWorld(t, l, func(t *testing.T, w *world) {
		r := w.examine(t.Context(), w.behind(netsim.Symmetric, netsim.LinkConfig{}))
		check(t, "mapping", r.IPv4.Mapping, netcheck.AddressAndPortDependent)
		if r.Servers[0].IPv4.RTT != 0 || r.Servers[1].IPv4.RTT == 0 {
			t.Errorf("%+v", r.Servers)
		}
	})
}

// A server on this side of the NAT says nothing about it, and does not hide it.
func TestServerInside(t *testing.T) {
	inWorld(t, oneAddress, func(t *testing.T, w *world) {
		h := w.net.Host("client")
		inside, nat, lan := w.net.Host("inside"), w.net.NAT("nat", netsim.PortRestricted), w.net.Router("lan")
		netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.7"))
		netsim.Must(w.net.Connect(lan, nat, netsim.LinkConfig{}))
		netsim.Must(w.net.Connect(h, lan, netsim.LinkConfig{}, "192.168.1.2/24"))
		netsim.Must(w.net.Connect(inside, lan, netsim.LinkConfig{}, "192.168.1.3/24"))
		s, err := sn.Open(sn.Config{Network: inside, Local: newLocal(t, 7), Listen: []netip.AddrPort{netip.MustParseAddrPort("192.168.1.3:8443")}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w.servers = append([][]netip.AddrPort{{s.Addrs()[0]}}, w.servers...)
		r := w.examine(t.Context(), h)
		check(t, "mapping", r.IPv4.Mapping, netcheck.Unknown)
		check(t, "filtering", r.IPv4.Filtering, netcheck.AddressAndPortDependent)
		if r.IPv4.Observed.Addr() != netip.MustParseAddr("198.51.100.7") {
			t.Errorf("observed %v", r.IPv4.Observed)
		}
	})
}

// Loss makes it slower, and may leave something unknown, but a NAT is not called
// what it is not: silence is asked for three times.
func TestLoss(t *testing.T) {
	wrong := 0
	for seed := range 20 {
		inWorld(t, twoAddresses, func(t *testing.T, w *world) {
			for range seed { // another sequence of fates
				w.net.Host("nobody")
			}
			r := w.examine(t.Context(), w.behind(netsim.PortRestricted, netsim.LinkConfig{Loss: 0.1}))
			if f := r.IPv4; f.Works && f.Mapping.Value != netcheck.EndpointIndependent && f.Mapping.Value != netcheck.Unknown {
				t.Errorf("mapping %+v", f.Mapping)
			}
			if f := r.IPv4; f.Works && f.Filtering.Value != netcheck.AddressAndPortDependent && f.Filtering.Value != netcheck.Unknown {
				wrong++
			}
		})
	}
	if wrong > 0 {
		t.Errorf("filtering was named wrongly %d times of 20", wrong)
	}
}

// When the time is over, what has been found stands, and silence proves nothing.
func TestInterrupted(t *testing.T) {
	inWorld(t, twoAddresses, func(t *testing.T, w *world) {
		h := w.behind(netsim.PortRestricted, netsim.LinkConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		start := time.Now()
		r := w.examine(ctx, h)
		if took := time.Since(start); took > 150*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if !r.IPv4.Works {
			t.Errorf("%+v", r.IPv4)
		}
		check(t, "mapping", r.IPv4.Mapping, netcheck.EndpointIndependent)
		check(t, "filtering", r.IPv4.Filtering, netcheck.Unknown)
	})
}

func TestNothingToAsk(t *testing.T) {
	inWorld(t, layout{}, func(t *testing.T, w *world) {
		r := w.examine(t.Context(), w.behind(netsim.PortRestricted, netsim.LinkConfig{}))
		if r.IPv4.Asked || r.IPv6.Asked || len(r.Servers) != 0 {
			t.Errorf("%+v", r)
		}
		check(t, "mapping", r.IPv4.Mapping, netcheck.Unknown)
	})
}
