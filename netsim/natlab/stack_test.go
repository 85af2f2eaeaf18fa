//go:build linux && natlab

package natlab

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// A place is where a device is in a chain, and its addresses there.
type place struct {
	at    func(chain) *tnode
	addrs []string
}

var (
	behindA      = place{func(c chain) *tnode { return c.natA }, []string{"198.18.1.2/24"}}
	besideA      = place{func(c chain) *tnode { return c.natA }, []string{"198.18.1.3/24"}}
	behindB      = place{func(c chain) *tnode { return c.natB }, []string{"198.18.2.2/24"}}
	public       = place{func(c chain) *tnode { return c.right }, []string{"203.0.113.130/25"}}
	publicLeft6  = place{func(c chain) *tnode { return c.left }, []string{"2001:db8:10::2/64"}}
	publicRight6 = place{func(c chain) *tnode { return c.right }, []string{"2001:db8:11::2/64"}}
	behindA6     = place{func(c chain) *tnode { return c.natA }, []string{"2001:db8:12::2/64"}}
	behindB6     = place{func(c chain) *tnode { return c.natB }, []string{"2001:db8:13::2/64"}}
)

// both is a place with the addresses of two.
func both(p, q place) place { return place{p.at, slices.Concat(p.addrs, q.addrs)} }

// The super node is reached over either family.
const (
	sn4 = "203.0.113.2:8443"
	sn6 = "[2001:db8::2]:8443"
)

// Devices find each other by the programs that people use, and the path is the
// best that the network allows. docs/spec/path.md §1 says what its kinds are.
func TestStack(t *testing.T) {
	bin := build(t)
	cone, accepting := netsim.PortRestricted, with(netsim.PortRestricted, stealing)
	for _, test := range []struct {
		name  string
		a, b  netsim.NATConfig
		alice place // who pings
		bob   place // who answers
		sn    string
		want  string
	}{
		{"cone with cone", cone, cone, behindA, behindB, sn4, "punched"},
		{"cone with cone, both accepting", accepting, accepting, behindA, behindB, sn4, "punched"},
		{"cone with cone, the caller's accepting", accepting, cone, behindA, behindB, sn4, "punched"},
		{"cone with cone, the callee's accepting", cone, accepting, behindA, behindB, sn4, "punched"},
		{"full cone with cone", netsim.FullCone, cone, behindA, behindB, sn4, "punched"},
		{"symmetric with full cone", netsim.Symmetric, netsim.FullCone, behindA, behindB, sn4, "punched"},
		{"full cone with symmetric", netsim.FullCone, netsim.Symmetric, behindA, behindB, sn4, "punched"},
		{"cone with public", cone, cone, behindA, public, sn4, "direct"},
		{"symmetric with public", netsim.Symmetric, cone, behindA, public, sn4, "direct"},
		{"public with cone", cone, cone, public, behindA, sn4, "direct"},
		{"IPv6", cone, cone, publicLeft6, publicRight6, sn6, "direct"},
		{"IPv6 behind a firewall with public", cone, cone, behindA6, publicRight6, sn6, "direct"},
		{"IPv6 behind firewalls", cone, cone, behindA6, behindB6, sn6, "direct"},
		{"NATs and IPv6", cone, cone, both(behindA, behindA6), both(behindB, behindB6), sn4, "direct"},
		{"one router", cone, cone, behindA, besideA, sn4, "lan"},
		{"one symmetric router", netsim.Symmetric, cone, behindA, besideA, sn4, "lan"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChain(t, test.a, test.b)
			sn, alice, bob := c.lab.Host("sn"), c.lab.Host("alice"), c.lab.Host("bob")
			c.lab.Connect(sn, c.core, "203.0.113.2/25", "2001:db8::2/64")
			c.lab.Connect(alice, test.alice.at(c), test.alice.addrs...)
			c.lab.Connect(bob, test.bob.at(c), test.bob.addrs...)

			dir := t.TempDir()
			ref := sn.Start(bin+"/bdt-sn", "--key", dir+"/sn.pem", "--listen", ":8443", "--advertise", test.sn).Ready()["ref"]
			up := bob.Start(bin+"/bdt", "up", "-v", "--key", dir+"/bob.pem", "--sn", ref, "--serve", "echo").Ready()
			if _, err := alice.Run(t.Context(), bin+"/bdt", "id", "new", "--out", dir+"/alice.pem"); err != nil {
				t.Fatal(err)
			}
			pongs := ping(t, alice, bin+"/bdt", "ping", up["id"], "-v", "-c", "5", "--interval", "250ms",
				"--key", dir+"/alice.pem", "--sn", ref, "--json")
			if last := pongs[len(pongs)-1]; last.Path != test.want {
				t.Errorf("the path is %s (%s), want %s", last.Path, last.Addr, test.want)
			}
		})
	}
}

// build builds the programs as they are in the tree.
func build(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir, "./cmd/bdt", "./cmd/bdt-sn")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return dir
}

// A pong is one line of bdt ping --json.
type pong struct {
	Seq  int     `json:"seq"`
	Path string  `json:"path"`
	Addr string  `json:"addr"`
	RTT  float64 `json:"rtt_ms"`
}

// pingsTimeout is for five pings, of which the last leaves a second after the
// first was answered: people wait a few seconds for that, not longer.
const pingsTimeout = 8 * time.Second

// ping runs a ping of five and returns the answers, of which none may be missing.
func ping(t *testing.T, n *tnode, name string, args ...string) (pongs []pong) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pingsTimeout)
	defer cancel()
	start := time.Now()
	out, err := n.Run(ctx, name, args...)
	t.Logf("after %v:\n%s", time.Since(start).Round(time.Millisecond), out)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for d.More() {
		var p pong
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Path == "" || p.Addr == "" || p.RTT <= 0 {
			t.Fatalf("%+v is not an answer", p)
		}
		pongs = append(pongs, p)
	}
	if len(pongs) != 5 {
		t.Fatalf("%d answers to 5 pings", len(pongs))
	}
	return pongs
}
