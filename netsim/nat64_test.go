package netsim

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/nat64"
)

// new64 is a host with IPv6 only behind a NAT64, and a host with IPv4 only.
func new64(n *Network, cfg NATConfig) (phone, v4, v6 *Host) {
	core, nat := n.Router("core"), n.NAT("nat64", cfg)
	phone, v4, v6 = n.Host("phone"), n.Host("v4"), n.Host("v6")
	Must(n.Connect(nat, core, LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.64", "2001:db8:64::/48"))
	Must(n.Connect(phone, nat, LinkConfig{}, "2001:db8:64::2/64"))
	Must(n.Connect(v4, core, LinkConfig{}, "203.0.113.4"))
	Must(n.Connect(v6, core, LinkConfig{}, "2001:db8:6::6"))
	return phone, v4, v6
}

// TestNAT64: what goes to the prefix comes out as IPv4, and back; native IPv6
// goes its own way, from the same port.
func TestNAT64(t *testing.T) {
	for _, prefix := range []string{"64:ff9b::/96", "2001:db8:64:ff00::/56"} {
		t.Run(prefix, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) {
				cfg := NAT64
				cfg.Prefix64 = netip.MustParsePrefix(prefix)
				phone, v4, v6 := new64(n, cfg)
				p, p4, p6 := listen(t, phone, "[::]:1000"), listen(t, v4, "0.0.0.0:4"), listen(t, v6, "[::]:6")
				synth, _ := nat64.Embed(cfg.Prefix64, netip.MustParseAddr("203.0.113.4"))

				p.send(netip.AddrPortFrom(synth, 4), "to v4")
				d := p4.want("to v4")
				if d.Addr != addr("198.51.100.64:1000") {
					t.Fatalf("IPv4 sees %v", d.Addr)
				}
				p4.send(d.Addr, "back")
				if d := p.want("back"); d.Addr != netip.AddrPortFrom(synth, 4) {
					t.Fatalf("the answer comes from %v", d.Addr)
				}
				listen(t, v4, "0.0.0.0:5").send(d.Addr, "from another port")
				p.wantNone() // address-and-port-dependent filtering

				p.send(addr("[2001:db8:6::6]:6"), "to v6")
				if d := p6.want("to v6"); d.Addr != addr("[2001:db8:64::2]:1000") {
					t.Fatalf("IPv6 sees %v", d.Addr)
				}
				p6.send(addr("[2001:db8:64::2]:1000"), "back")
				p.want("back")
				p.send(netip.AddrPortFrom(synth, 4), "again")
				if again := p4.want("again"); again.Addr != d.Addr {
					t.Fatalf("another mapping: %v", again.Addr)
				}
			})
		})
	}
}

// TestNAT64Drops: what stands for no host goes nowhere, and makes no mapping.
func TestNAT64Drops(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		phone, _, _ := new64(n, NAT64)
		p := listen(t, phone, "[::]:1000")
		for _, dst := range []string{"[64:ff9b::127.0.0.1]:4", "[64:ff9b::]:4", "[64:ff9b::239.255.0.1]:4"} {
			p.send(addr(dst), "nowhere")
		}
		settle()
		nat := phone.ifaces[0].out.to.(*NAT)
		if s := nat.Stats(); s.Packets[DropNoRoute] != 3 {
			t.Errorf("dropped %d, want 3", s.Packets[DropNoRoute])
		}
		if len(nat.byOuter) != 0 {
			t.Errorf("%d mappings", len(nat.byOuter))
		}
	})
}

// TestNAT64Hairpin: two hosts behind it reach each other by its IPv4 address.
func TestNAT64Hairpin(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := NAT64
		cfg.Hairpin, cfg.Filtering = true, EndpointIndependent
		phone, v4, _ := new64(n, cfg)
		tablet := n.Host("tablet")
		Must(n.Connect(tablet, phone.ifaces[0].out.to, LinkConfig{}, "2001:db8:64::3/64"))
		p, q, p4 := listen(t, phone, "[::]:1000"), listen(t, tablet, "[::]:2000"), listen(t, v4, "0.0.0.0:4")
		q.send(addr("[64:ff9b::203.0.113.4]:4"), "open")
		seen := p4.want("open").Addr
		if seen != addr("198.51.100.64:2000") {
			t.Fatalf("seen at %v", seen)
		}
		p.send(addr("[64:ff9b::198.51.100.64]:2000"), "hairpin")
		if d := q.want("hairpin"); d.Addr != addr("[64:ff9b::198.51.100.64]:1000") {
			t.Fatalf("from %v", d.Addr)
		}
	})
}

func TestDNS64(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		phone, v4, _ := new64(n, NAT64)
		lan, behind := n.Switch("lan"), n.Host("behind")
		Must(n.Connect(lan, phone.ifaces[0].out.to, LinkConfig{}))
		Must(n.Connect(behind, lan, LinkConfig{}, "2001:db8:64:1::9/64"))
		ip := netip.MustParseAddr
		n.SetName("v4.example", ip("203.0.113.4"))
		n.SetName("both.example", ip("203.0.113.4"), ip("2001:db8::1"))
		for _, c := range []struct {
			host *Host
			name string
			want []netip.Addr
		}{
			{phone, "v4.example", []netip.Addr{ip("203.0.113.4"), ip("64:ff9b::203.0.113.4")}},
			{behind, "v4.example", []netip.Addr{ip("203.0.113.4"), ip("64:ff9b::203.0.113.4")}},
			{phone, "both.example", []netip.Addr{ip("203.0.113.4"), ip("2001:db8::1")}},
			{phone, "203.0.113.4", []netip.Addr{ip("203.0.113.4")}},
			{v4, "v4.example", []netip.Addr{ip("203.0.113.4")}},
			{v4, "ipv4only.arpa", []netip.Addr{ip("192.0.0.170"), ip("192.0.0.171")}},
		} {
			got, err := c.host.LookupNetIP(t.Context(), c.name)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s at %s: %v, %v; want %v", c.name, c.host.Name(), got, err, c.want)
			}
		}
		got, err := phone.LookupNetIP(t.Context(), nat64.DiscoveryName)
		if err != nil || !slices.Equal(nat64.Find(got), []netip.Prefix{nat64.WellKnown}) {
			t.Errorf("the prefix: %v, %v", got, err)
		}
	})
}

func TestNAT64Config(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		core := n.Router("core")
		for _, cfg := range []NATConfig{
			{Prefix64: netip.MustParsePrefix("64:ff9b::/97")},
			{Prefix64: nat64.WellKnown, NoTranslation: true},
		} {
			if _, err := n.Connect(n.NAT("bad", cfg), core, LinkConfig{}, "198.51.100.9"); err == nil {
				t.Errorf("%+v is accepted", cfg)
			}
		}
	})
}
