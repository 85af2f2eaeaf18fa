package scenario_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// small is a scenario to which tests add.
const small = `nodes:
  internet: router
  sn: host
  home: {nat: {filtering: address-dependent, timeout: 30s, max-mappings: 100}}
  alice: host
  bob: host
links:
  - {from: sn, to: internet, addrs: [203.0.113.1, '2001:db8::1'], delay: 5ms}
  - {from: home, to: internet, addrs: 198.51.100.1, loss: 2%, rate: 50Mbit, queue: 64KiB}
  - {from: alice, to: home}
  - {from: bob, to: home}
supernodes:
  sn:
devices:
  alice:
  bob: {host: bob, serve: echo, keepalive: 10s}
`

func TestParse(t *testing.T) {
	f, err := scenario.Parse("x.yaml", []byte(small+`
steps:
  - dial: alice to bob
    expect: {path: [lan, direct], within: 1.5s}
  - at: 10s
    cut: {link: home-internet, for: 2s}
  - set: {link: home-internet, loss: 0.5, mtu: 1280}
`))
	if err != nil {
		t.Fatal(err)
	}
	if f.Seed != 1 || f.Limit != time.Hour || len(f.Nodes) != 5 || len(f.Links) != 4 || len(f.Steps) != 3 {
		t.Errorf("%+v", f)
	}
	home, _ := f.Node("home")
	if want := (netsim.NATConfig{Filtering: netsim.AddressDependent, Timeout: 30 * time.Second, MaxMappings: 100}); home.NAT != want || home.Line != 4 {
		t.Errorf("%+v", home)
	}
	l, _ := f.Link("home-internet")
	if want := (netsim.LinkConfig{Loss: 0.02, Rate: 50e6, Queue: 64 << 10}); l.Config != want {
		t.Errorf("%+v", l)
	}
	for name, want := range map[string]string{"alice-home": "198.18.1.2/24", "bob-home": "198.18.1.3/24"} {
		if l, _ := f.Link(name); len(l.Addrs) != 1 || l.Addrs[0] != want {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if d, _ := f.Device("bob"); d.Host != "bob" || d.KeepAlive != 10*time.Second || len(d.Serve) != 1 {
		t.Errorf("%+v", d)
	}
	dial, cut, set := f.Steps[0], f.Steps[1], f.Steps[2]
	if dial.Do != scenario.DoDial || dial.From != "alice" || dial.To != "bob" || dial.Expect.Within != 1500*time.Millisecond || len(dial.Expect.Paths) != 2 {
		t.Errorf("%+v", dial)
	}
	if !cut.Timed || cut.At != 10*time.Second || cut.For != 2*time.Second || cut.Target != "home-internet" {
		t.Errorf("%+v", cut)
	}
	if got := scenario.Override(l.Config, set.Config, set.Changes); got != (netsim.LinkConfig{Loss: 0.5, Rate: 50e6, Queue: 64 << 10, MTU: 1280}) {
		t.Errorf("%+v of %+v", got, set)
	}
}

// A byte order mark is no part of the first key.
func TestParseByteOrderMark(t *testing.T) {
	if _, err := scenario.Parse("x.yaml", []byte("\ufeff"+small)); err != nil {
		t.Error(err)
	}
}

// Every error says where, and what to write instead.
func TestParseErrors(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"", "x.yaml: there is nothing in it; 'netsim init' writes a sample"},
		{"# nothing", "x.yaml: there is nothing in it"},
		{"a: [", "x.yaml:1:4: "},
		{"nodes: x", `x.yaml:1:8: nodes is written as 'key: value', one a line, or as {key: value, …}, not as "x"`},
		{"node: {}", `x.yaml:1:1: a scenario has no key "node"; is "nodes" meant?`},
		{"nodes: {a: host}", `a scenario needs "links"; add 'links: list of links'`},
		{"nodes: {a: hots}\nlinks: []", `x.yaml:1:12: here "hots" means nothing; is "host" meant?`},
		{"nodes: {a: nat}\nlinks: []", `write it like {nat: port-restricted}`},
		{"nodes: {a: {nat: {filter: x}}}\nlinks: []", `x.yaml:1:19: a NAT has no key "filter"; is "filtering" meant?`},
		{"nodes: {-a: host}\nlinks: []", `"-a" is no name`},
		{"nodes: {a: host, a: host}\nlinks: []", `mapping key "a" already defined at [1:9]`},
		{"nodes: {a: &x host}\nlinks: []", "an alias or anchor"},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: c}]", `x.yaml:2:9: there is no node "c"; there are a, b`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a}]", `a link needs "to"; add 'to: node'`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, delay: 5}]", `"5" is no duration; write it like 250ms`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, loss: 5}]", `"5" is no share in 0 to 100%; write it like 2% or 0.02`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, rate: fast}]", `"fast" is no rate; write it like 512kbit`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, addrs: 127.0.0.1}]", `127.0.0.1 cannot be the address of a node`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, addrs: 255.255.255.255}]", `255.255.255.255 cannot be the address of a node`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, addrs: here}]", `"here" is no address`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b}, {from: b, to: a}]", `go in a circle`},
		{"nodes: {a: host, b: host}\nlinks: []", `"a" and "b" both have nothing above`},
		{"nodes: {n: {nat: cgn}, b: host}\nlinks: [{from: b, to: n}]", `x.yaml:1:1: nothing is above the NAT "n"; add a router above it`},
		{"nodes: {n: {nat: {}}, b: router}\nlinks: [{from: n, to: b}]", `x.yaml:2:1: the NAT "n" needs an external IPv4 address; add 'addrs: …'`},
		{"nodes: {n: {nat: cng}, b: router}\nlinks: [{from: n, to: b}]", `"cng" is no preset; is "cgn" meant?`},
		{"nodes: {n: {nat: nat64}, a: host, b: router}\nlinks: [{from: n, to: b, addrs: 192.0.2.1}, {from: a, to: n}]", `a host needs a prefix of IPv6`},
		{"seed: 0", `"0" is no whole number in 1 to`},
		{"nodes: {a: host, b: router}\nlinks: [{from: a, to: b}]", `x.yaml:2:1: the host "a" needs an address; add 'addrs: …'`},
		{"nodes: {a: host, b: host}\nlinks: [{from: a, to: b, addrs: 192.0.2.1}, {from: a, to: b, addrs: 192.0.2.2}]", `there are two links called "a-b"`},
		{small + "steps:\n  - dail: alice to bob", `x.yaml:18:5: a step has no key "dail"; is "dial" meant?`},
		{"nodes: {a: host}\nlinks: []\nproxynodes: {a: , b: }", `there is no host "b" for it; say where it runs`},
		{"nodes: {a: host}\nlinks: []\ndevices: {a: }\nproxynodes: {a: }", `a device or super node is called "a", too`},
		{"nodes: {a: host}\nlinks: []\nproxynodes: {a: {listen: here}}", `"here" is no address to listen on`},
		{"nodes: {a: host}\nlinks: []\ndevices: {a: {pns: b}}", `there is no proxy node "b"`},
		{"nodes: {a: host}\nlinks: []\nproxynodes: {b: a}\ndevices: {a: {pns: [none, b]}}", `it uses no proxy node, and one`},
		{small + "steps:\n  - dial: alice bob", `"alice bob" does not say who and whom; write it like 'alice to bob'`},
		{small + "steps:\n  - dial: alice to rob", `there is no device "rob"; is "bob" meant?`},
		{small + "steps:\n  - dial: bob to bob", `"bob" cannot dial itself`},
		{small + "steps:\n  - at: 5s", `the step does nothing; there are dial, call`},
		{small + "steps:\n  - dial: alice to bob\n    cut: home-internet", `a step does one thing`},
		{small + "steps:\n  - transfer: alice to bob", `write it like transfer: {from: …, to: …, size: …}`},
		{small + "steps:\n  - cut: home-internt", `there is no link "home-internt"; is "home-internet" meant?`},
		{small + "steps:\n  - reboot: alice", `"alice" is a host, which cannot stand here; there are internet, home`},
		{small + "steps:\n  - dial: alice to bob\n    expect: {path: straight}", `here "straight" means nothing; there are lan, direct, punched, relayed, none`},
		{small + "steps:\n  - dial: alice to bob\n    expect: {path: [none, lan]}", `none stands alone`},
		{small + "steps:\n  - dial: alice to bob\n    expect: {within: 0s}", `nothing takes no time`},
		{small + "steps:\n  - load: {devices: alice, do: ping}", `"alice" is no group of light devices`},
		{small + "steps:\n  - set: {link: home-internet, speed: 5}", `the step set has no key "speed"`},
		{small + "steps:\n  - dial: alice to bob\n    expect:\n      stall: 1s", `x.yaml:20:1: the step dial has no "stall"; it can be expected of transfer`},
		{small + "steps:\n  - dial: alice to bob\n    expect: {lost: 5%}", `the step dial has no "lost"; it can be expected of ping and load`},
		{small + "steps:\n  - dial: alice to bob\n    expect: {udp: yes}", `the step dial has no "udp"; it can be expected of netcheck`},
		{small + "steps:\n  - online: bob\n    expect: {path: direct}", `the step online has no "path"; it can be expected of dial, call, ping and transfer`},
		{small + "steps:\n  - {cut: home-internet, for: 2s}", `"for" belongs into the braces of the step cut; write it like cut: {link: …, for: …}`},
		{small + "steps:\n  - {count: 3, ping: alice to bob}", `write it like ping: {from: …, count: …}`},
		{"name: \"\\e[31mred\"", `"\x1b[31mred" is not for people to read`},
		{"nodes:\n  caf\xe9: host", "x.yaml:2:1: this is not UTF-8; save the file as UTF-8"},
		{small + "---\nx: y", "a second document"},
		{strings.Repeat("[", 200), "brackets stand too deep"},
		{strings.Repeat("#", 1<<20+1), "more than 1048576 bytes"},
	} {
		_, err := scenario.Parse("x.yaml", []byte(tc.text))
		if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80q: %v, want %s", tc.text[max(0, len(tc.text)-80):], err, tc.want)
		}
	}
}
