//go:build linux && natlab

package natlab

import (
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// Two devices on one switch find each other by multicast: there is no super node, and
// nothing but the id is known (docs/spec/discovery.md).
func TestLAN(t *testing.T) {
	bin := build(t)
	for _, test := range []struct {
		name       string
		alice, bob string
	}{
		{"IPv4", "198.18.1.2/24", "198.18.1.3/24"},
		{"IPv6", "2001:db8:12::2/64", "2001:db8:12::3/64"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChain(t, netsim.PortRestricted, netsim.PortRestricted)
			alice, bob := c.lab.Host("alice"), c.lab.Host("bob")
			wire := c.lab.Switch("wire")
			c.lab.Connect(wire, c.natA)
			c.lab.Connect(alice, wire, test.alice)
			c.lab.Connect(bob, wire, test.bob)
			dir := t.TempDir()
			up := bob.Start(bin+"/bdt", "up", "-v", "--key", dir+"/bob.pem", "--serve", "echo").Ready()
			if _, err := alice.Run(t.Context(), bin+"/bdt", "id", "new", "--out", dir+"/alice.pem"); err != nil {
				t.Fatal(err)
			}
			pongs := ping(t, alice, bin+"/bdt", "ping", up["id"], "-v", "-c", "5", "--interval", "250ms",
				"--key", dir+"/alice.pem", "--json")
			if last := pongs[len(pongs)-1]; last.Path != "lan" {
				t.Errorf("the path is %s (%s)", last.Path, last.Addr)
			}
		})
	}
}
