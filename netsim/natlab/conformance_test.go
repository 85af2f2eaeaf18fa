//go:build linux && natlab

package natlab

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// A conduct is what can be seen of a NAT packet by packet, from both of its sides.
type conduct struct {
	traits
	Hairpin bool // it turns around what a host behind it sends to another's external endpoint, whom that has sent to
	Source  bool // that comes from the sender's external endpoint (RFC 4787 §6, REQ-9a)
	Strict  bool // what it turns around it filters as what comes from outside
	Step    bool // ports of new mappings follow each other
	Blocks  bool // no UDP passes
}

const (
	endpointIndependent = netsim.EndpointIndependent
	addressDependent    = netsim.AddressDependent
	portDependent       = netsim.AddressAndPortDependent
)

// The simulator and the kernel are held to one table: the conduct of each preset's outermost box,
// and of some that no preset has.
func TestConformance(t *testing.T) {
	outermost := func(name string) netsim.NATConfig {
		p, err := netsim.PresetByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return p.Boxes[len(p.Boxes)-1]
	}
	hairpin := func(c *netsim.NATConfig) { c.Hairpin = true }
	for _, test := range []struct {
		name string
		cfg  netsim.NATConfig
		want conduct
	}{
		{"full-cone", outermost("full-cone"), conduct{traits: traits{endpointIndependent, endpointIndependent, true, false}, Hairpin: true, Source: true}},
		{"restricted", outermost("restricted"), conduct{traits: traits{endpointIndependent, addressDependent, true, false}, Hairpin: true, Source: true, Strict: true}},
		{"port-restricted", outermost("port-restricted"), conduct{traits: traits{endpointIndependent, portDependent, true, false}}},
		{"linux-masquerade", outermost("linux-masquerade"), conduct{traits: traits{endpointIndependent, portDependent, true, true}}},
		{"symmetric-sequential", outermost("symmetric-sequential"), conduct{traits: traits{portDependent, portDependent, false, false}, Step: true}},
		{"symmetric-random", outermost("symmetric-random"), conduct{traits: traits{portDependent, portDependent, false, false}}},
		{"cgn", outermost("cgn"), conduct{traits: traits{endpointIndependent, addressDependent, false, false}, Hairpin: true, Source: true, Strict: true}},
		{"udp-blocked", outermost("udp-blocked"), conduct{Blocks: true}},
		{"hotel", outermost("hotel"), conduct{traits: traits{portDependent, portDependent, false, false}}},
		{"carrier", outermost("carrier"), conduct{traits: traits{portDependent, portDependent, false, false}}},
		{"corporate", outermost("corporate"), conduct{Blocks: true}},
		{"port-restricted with hairpin", with(netsim.PortRestricted, hairpin), conduct{traits: traits{endpointIndependent, portDependent, true, false}, Hairpin: true, Source: true, Strict: true}},
		{"random ports", netsim.NATConfig{Filtering: portDependent, Ports: netsim.RandomPort}, conduct{traits: traits{endpointIndependent, portDependent, false, false}}},
		{"address-dependent mapping", netsim.NATConfig{Mapping: addressDependent, Filtering: addressDependent, Ports: netsim.RandomPort},
			conduct{traits: traits{addressDependent, addressDependent, false, false}}},
		{"open symmetric", with(netsim.Symmetric, func(c *netsim.NATConfig) { c.Filtering = endpointIndependent }),
			conduct{traits: traits{portDependent, endpointIndependent, false, false}}},
	} {
		for _, k := range kernels {
			t.Run(k.name+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				if got := conductOf(t, k.make(t, test.cfg, netsim.PortRestricted)); got != test.want {
					t.Errorf("got  %+v\nwant %+v", got, test.want)
				}
			})
		}
	}
}

// conductOf tells the conduct of NAT A.
func conductOf(t *testing.T, w world) (got conduct) {
	server, stranger := open(t, w.server, 3480), open(t, w.stranger, 3480)
	serverAt := at(serverAddr, 3480)
	// The stranger is not behind a NAT: once the server hears it, what was sent before is over.
	probe := open(t, w.alice, 7000)
	probe.send(serverAt, "probe", 0)
	stranger.send(serverAt, "over", 0)
	text, _ := server.receive()
	if text == "over" {
		// In the simulator the stranger's way is shorter. Nothing follows if nothing passes.
		for range 3 {
			server.tell(stranger, at(strangeIP, 3480))
			stranger.send(serverAt, "over", 0)
			if text, _ = server.receive(); text == "probe" {
				break
			}
		}
		if text != "probe" {
			return conduct{Blocks: true}
		}
	}
	drain(server, stranger, serverAt)

	// What comes of each hairpin shows once a packet that is sent later has come back.
	alice, arthur := open(t, w.alice, 7100), open(t, w.arthur, 7200)
	aliceSeen, arthurSeen := alice.tell(server, serverAt), arthur.tell(server, serverAt)
	alice.send(arthurSeen, "unasked", 0)
	strict := arthur.hears(server, serverAt, arthurSeen)
	arthur.send(aliceSeen, "asked", 0)
	heard := alice.hears(server, serverAt, aliceSeen)
	got.Hairpin = slices.Contains(heard, "asked")
	got.Strict = got.Hairpin && !slices.Contains(strict, "unasked")
	if got.Hairpin {
		arthur.send(aliceSeen, "from", 0)
		text, from := alice.receive()
		got.Source = text == "from" && from == arthurSeen
	}
	first, second := alice.tell(stranger, at(strangeIP, 3480)), arthur.tell(stranger, at(strangeIP, 3480))
	got.Step = second.Port() == first.Port()+1
	got.traits = observe(t, w)
	return got
}

// drain has a server read what the stranger has sent to it.
func drain(server, stranger *endpoint, serverAt netip.AddrPort) {
	stranger.send(serverAt, "end", 0)
	for {
		if text, _ := server.receive(); text == "end" {
			return
		}
	}
}
