//go:build linux && natlab

package natlab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// traits are what can be told of a NAT from both of its sides (RFC 4787 §4, §5).
type traits struct {
	Mapping   netsim.Behavior
	Filtering netsim.Behavior
	Preserves bool // the internal port
	Stolen    bool // a packet that nobody asked for changes the port of the later mapping towards its sender
}

func with(cfg netsim.NATConfig, change func(*netsim.NATConfig)) netsim.NATConfig {
	change(&cfg)
	return cfg
}

func stealing(c *netsim.NATConfig) { c.StealPorts = true }

// The simulator's NATs and the kernel's are the same, as far as can be seen.
func TestTraits(t *testing.T) {
	const endpointIndependent, portDependent = netsim.EndpointIndependent, netsim.AddressAndPortDependent
	for _, test := range []struct {
		name string
		cfg  netsim.NATConfig
		want traits
	}{
		{"full cone", netsim.FullCone, traits{endpointIndependent, endpointIndependent, true, false}},
		{"port restricted", netsim.PortRestricted, traits{endpointIndependent, portDependent, true, false}},
		{"port restricted, accepting", with(netsim.PortRestricted, stealing), traits{endpointIndependent, portDependent, true, true}},
		{"symmetric", netsim.Symmetric, traits{portDependent, portDependent, false, false}},
	} {
		for _, k := range kernels {
			t.Run(k.name+"/"+test.name, func(t *testing.T) {
				if got := observe(t, k.make(t, test.cfg, netsim.PortRestricted)); got != test.want {
					t.Errorf("got  %+v\nwant %+v", got, test.want)
				}
			})
		}
	}
}

// observe tells the traits of NAT A.
func observe(t *testing.T, w world) (got traits) {
	server, second, stranger := open(t, w.server, 3478), open(t, w.server, 3479), open(t, w.stranger, 3478)
	serverAt, secondAt, strangerAt := at(serverAddr, 3478), at(serverAddr, 3479), at(strangeIP, 3478)

	alice := open(t, w.alice, 5000)
	seen := alice.tell(server, serverAt)
	got.Preserves = seen == at(natAAddr, 5000)
	switch {
	case alice.tell(second, secondAt) == seen && alice.tell(stranger, strangerAt) == seen:
		got.Mapping = netsim.EndpointIndependent
	case alice.tell(second, secondAt) == seen:
		got.Mapping = netsim.AddressDependent
	default:
		got.Mapping = netsim.AddressAndPortDependent
	}

	fresh := open(t, w.alice, 5001)
	seen = fresh.tell(server, serverAt)
	second.send(seen, "from the same address", 0)
	stranger.send(seen, "from another address", 0)
	heard := fresh.hears(server, serverAt, seen)
	switch {
	case slices.Contains(heard, "from another address"):
		got.Filtering = netsim.EndpointIndependent
	case slices.Contains(heard, "from the same address"):
		got.Filtering = netsim.AddressDependent
	default:
		got.Filtering = netsim.AddressAndPortDependent
	}

	if open(t, w.arthur, 5000).tell(server, serverAt) == alice.tell(server, serverAt) {
		t.Error("one remote sees two hosts at one endpoint")
	}

	// A port far from those in use, to which no contention leads.
	const port = 5500
	// The stranger is first; that its packet has reached the NAT shows in a
	// later one that reaches alice.
	stranger.send(at(natAAddr, port), "first", 0)
	alice.hears(stranger, strangerAt, alice.tell(stranger, strangerAt))
	late := open(t, w.alice, port)
	got.Stolen = got.Preserves && late.tell(stranger, strangerAt) != at(natAAddr, port)
	return got
}

// Once a port was taken, the kernel gives every later flow of that socket the
// changed one, to whomever it goes; what it has given before stays. (It looks
// for a mapping of the same source first, and finds the newest.) So a peer that
// is called from a fresh port is no better off as long as its own port is old.
func TestStolenPortSpreads(t *testing.T) {
	w := kernelWorld(t, with(netsim.PortRestricted, stealing), netsim.PortRestricted)
	server, stranger, third := open(t, w.server, 3478), open(t, w.stranger, 3478), open(t, w.stranger, 3479)
	serverAt, strangerAt, thirdAt := at(serverAddr, 3478), at(strangeIP, 3478), at(strangeIP, 3479)
	alice, other := open(t, w.alice, 5000), open(t, w.alice, 5001)
	preserved := at(natAAddr, 5000)
	if seen := alice.tell(server, serverAt); seen != preserved {
		t.Fatalf("the server sees %v", seen)
	}

	stranger.send(preserved, "first", 0)
	other.hears(stranger, strangerAt, other.tell(stranger, strangerAt)) // by now it is at NAT A
	changed := alice.tell(stranger, strangerAt)
	if changed == preserved {
		t.Fatal("the port was not taken")
	}
	if seen := alice.tell(third, thirdAt); seen != changed {
		t.Errorf("a new remote sees %v, want %v", seen, changed)
	}
	if seen := alice.tell(server, serverAt); seen != preserved {
		t.Errorf("the server sees %v now", seen)
	}
}

// An Opener (docs/spec/path.md §3) opens the sender's NAT and leaves no trace
// at the other, even where that accepts what nobody asked for. One hop more,
// and it takes the port of the other end's mapping.
func TestOpener(t *testing.T) {
	cfg := with(netsim.PortRestricted, stealing)
	for _, test := range []struct {
		hopLimit uint8
		stolen   bool
	}{{4, false}, {5, true}, {64, true}} {
		for _, k := range kernels {
			t.Run(fmt.Sprintf("%s/hop limit %d", k.name, test.hopLimit), func(t *testing.T) {
				w := k.make(t, cfg, cfg)
				markA, markB := punched(t, w)
				alice, bob := open(t, w.alice, 5000), open(t, w.bob, 5000)

				alice.send(at(natBAddr, 5000), "opener", test.hopLimit)
				markA.tell(markB, at(natBAddr, 6000)) // by now the opener is where it goes
				bob.send(at(natAAddr, 5000), "punch", 0)
				markB.tell(markA, at(natAAddr, 6000))

				server := open(t, w.server, 3478)
				seen := alice.tell(server, at(serverAddr, 3478))
				heard := alice.hears(server, at(serverAddr, 3478), seen)
				if got := !slices.Contains(heard, "punch"); got != test.stolen {
					t.Fatalf("port stolen: %v, want %v", got, test.stolen)
				}
				if test.stolen {
					return
				}
				if from := alice.tell(bob, at(natBAddr, 5000)); from != at(natAAddr, 5000) {
					t.Errorf("bob sees alice at %v", from)
				}
				if slices.Contains(heard, "opener") {
					t.Error("bob got the opener")
				}
			})
		}
	}
}

// punched returns sockets of alice and bob with a path between them. The first
// packets die in the first router, so that neither reaches the other's NAT.
func punched(t *testing.T, w world) (a, b *endpoint) {
	a, b = open(t, w.alice, 6000), open(t, w.bob, 6000)
	a.send(at(natBAddr, 6000), "opener", 2)
	server := open(t, w.server, 6000)
	a.tell(server, at(serverAddr, 6000)) // by now the opener has left NAT A
	b.tell(a, at(natAAddr, 6000))
	a.tell(b, at(natBAddr, 6000))
	return a, b
}

// Above a firewall the addresses below it are known, and its hosts are reached
// by whom they have talked to alone.
func TestFirewall(t *testing.T) {
	lab := newLab(t)
	core, wall := lab.Router("core"), lab.NAT("wall", netsim.Firewall)
	alice, server := lab.Host("alice"), lab.Host("server")
	lab.Connect(server, core, "203.0.113.2/24", "2001:db8::2/64")
	lab.Connect(wall, core, "198.51.100.2/24", "2001:db8:1::2/64")
	lab.Connect(alice, wall, aliceAddr+"/24", "2001:db8:2::2/64")
	for _, family := range []struct {
		any, alice, server string
	}{{"0.0.0.0", aliceAddr, serverAddr}, {"::", "2001:db8:2::2", "2001:db8::2"}} {
		a, s := listen(t, alice, at(family.any, 5000)), listen(t, server, at(family.any, 3478))
		second := listen(t, server, at(family.any, 3479))
		aliceAt, serverAt := at(family.alice, 5000), at(family.server, 3478)
		if seen := a.tell(s, serverAt); seen != aliceAt {
			t.Errorf("the server sees %v, want %v", seen, aliceAt)
		}
		second.send(aliceAt, "unasked", 0)
		if heard := a.hears(s, serverAt, aliceAt); len(heard) > 0 {
			t.Errorf("alice heard %q", heard)
		}
	}
}

// IPv6 below a NAT is not translated, but filtered.
func TestNATFiltersIPv6(t *testing.T) {
	c := newChain(t, netsim.PortRestricted, with(netsim.PortRestricted, stealing))
	alice, bob, server := c.lab.Host("alice"), c.lab.Host("bob"), c.lab.Host("server")
	c.lab.Connect(server, c.core, "2001:db8::2/64")
	c.lab.Connect(alice, c.natA, aliceAddr+"/24", "2001:db8:5::2/64")
	c.lab.Connect(bob, c.natB, bobAddr+"/24", "2001:db8:6::2/64")
	a, b := listen(t, alice, at("::", 5000)), listen(t, bob, at("::", 5000))
	second := listen(t, bob, at("::", 5001))
	aliceAt, bobAt := at("2001:db8:5::2", 5000), at("2001:db8:6::2", 5000)

	b.send(aliceAt, "opening", 0)
	b.tell(listen(t, server, at("::", 5000)), at("2001:db8::2", 5000)) // by now it has left NAT B
	a.send(bobAt, "crossing", 0)
	if text, from := b.receive(); text != "crossing" || from != aliceAt {
		t.Fatalf("bob got %q from %v", text, from)
	}
	second.send(aliceAt, "unasked", 0)
	if heard := a.hears(b, bobAt, aliceAt); slices.Contains(heard, "unasked") {
		t.Errorf("alice heard %q", heard)
	}
}

// A NAT that the kernel cannot be is refused, not approximated.
func TestRuleset(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  netsim.NATConfig
		want error
	}{
		{"full cone", netsim.FullCone, nil},
		{"port restricted", netsim.PortRestricted, nil},
		{"symmetric", netsim.Symmetric, nil},
		{"firewall", netsim.Firewall, nil},
		{"restricted cone", netsim.RestrictedCone, nil},
		{"sequential", with(netsim.Symmetric, func(c *netsim.NATConfig) { c.Ports = netsim.SequentialPort }), nil},
		{"preserved ports of a symmetric one", with(netsim.Symmetric, func(c *netsim.NATConfig) { c.Ports = netsim.PreservePort }), errMapping},
		{"sequential ports of a cone", with(netsim.PortRestricted, func(c *netsim.NATConfig) { c.Ports = netsim.SequentialPort }), errMapping},
		{"symmetric hairpin", with(netsim.Symmetric, func(c *netsim.NATConfig) { c.Hairpin = true }), errHairpin},
		{"limit", with(netsim.PortRestricted, func(c *netsim.NATConfig) { c.MaxMappings = 1 }), errFew},
		{"preserved ports of a range", with(netsim.PortRestricted, func(c *netsim.NATConfig) { c.PortRange = netsim.PortRange{Low: 5000, High: 6000} }), errRange},
		{"hairpin of a firewall", with(netsim.Firewall, func(c *netsim.NATConfig) { c.Hairpin = true }), errFirewall},
	} {
		if _, err := ruleset(test.cfg, netip.MustParseAddr(natAAddr)); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}
