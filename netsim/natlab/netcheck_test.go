//go:build linux && natlab

package natlab

import (
	"encoding/json"
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// The kernel's NATs are named by netcheck as RFC 4787 would, with a super node of
// two addresses, and with two super nodes of one.
func TestNetcheck(t *testing.T) {
	bin := build(t)
	const (
		independent = "endpoint-independent"
		dependent   = "address-and-port-dependent"
	)
	for _, test := range []struct {
		name                                       string
		nat                                        netsim.NATConfig
		inside                                     string // where alice is
		mapping, filtering, hairpin, preservesPort string
	}{
		{"cone", netsim.PortRestricted, aliceAddr + "/24", independent, dependent, "no", "yes"},
		{"accepting cone", with(netsim.PortRestricted, stealing), aliceAddr + "/24", independent, dependent, "no", "yes"},
		{"symmetric", netsim.Symmetric, aliceAddr + "/24", dependent, dependent, "unknown", "no"},
		{"full cone", netsim.FullCone, aliceAddr + "/24", independent, independent, "no", "yes"},
		{"firewall", netsim.Firewall, "198.51.100.66/28", "none", dependent, "none", "unknown"},
	} {
		for _, layout := range []string{"one super node", "two super nodes"} {
			t.Run(test.name+", "+layout, func(t *testing.T) {
				c := newChain(t, test.nat, netsim.PortRestricted)
				alice := c.lab.Host("alice")
				c.lab.Connect(alice, c.natA, test.inside)
				dir := t.TempDir()
				args := []string{"netcheck", "--json"}
				start := func(name string, addrs, listen []string) {
					host := c.lab.Host(name)
					c.lab.Connect(host, c.core, addrs...)
					argv := []string{"--key", dir + "/" + name + ".pem", "--advertise", listen[0]}
					for _, a := range listen {
						argv = append(argv, "--listen", a)
					}
					args = append(args, "--sn", host.Start(bin+"/bdt-sn", argv...).Ready()["ref"])
				}
				if layout == "one super node" {
					start("sn", []string{"203.0.113.2/25", "203.0.113.3/25"}, []string{"203.0.113.2:8443", "203.0.113.3:8443"})
				} else {
					start("sn1", []string{"203.0.113.2/25"}, []string{"203.0.113.2:8443"})
					start("sn2", []string{"203.0.113.130/25"}, []string{"203.0.113.130:8443"})
				}
				out, err := alice.Run(t.Context(), bin+"/bdt", args...)
				t.Logf("%s", out)
				if err != nil {
					t.Fatal(err)
				}
				type verdict struct{ Value, Why string }
				var got struct {
					IPv4 struct {
						Works                       bool
						Mapping, Filtering, Hairpin verdict
						PortPreservation            verdict `json:"port_preservation"`
					}
				}
				if err := json.Unmarshal(out, &got); err != nil {
					t.Fatal(err)
				}
				for _, p := range []struct {
					what string
					got  verdict
					want string
				}{
					{"mapping", got.IPv4.Mapping, test.mapping},
					{"filtering", got.IPv4.Filtering, test.filtering},
					{"hairpin", got.IPv4.Hairpin, test.hairpin},
					{"port preservation", got.IPv4.PortPreservation, test.preservesPort},
				} {
					if p.got.Value != p.want {
						t.Errorf("%s is %s (%s), want %s", p.what, p.got.Value, p.got.Why, p.want)
					}
				}
			})
		}
	}
}
