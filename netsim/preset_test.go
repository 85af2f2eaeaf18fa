package netsim

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every preset lets a host out, by UDP or TCP as it says, and back in what it asked for.
func TestPresets(t *testing.T) {
	var names []string
	for _, p := range Presets() {
		names = append(names, p.Name)
		t.Run(p.Name, func(t *testing.T) {
			simulate(t, func(t *testing.T, n *Network) { testPreset(t, n, p) })
		})
	}
	want := []string{"full-cone", "restricted", "port-restricted", "linux-masquerade", "symmetric-sequential",
		"symmetric-random", "cgn", "udp-blocked", "nat64", "hotel", "carrier", "corporate", "firewall-v6"}
	if !slices.Equal(names, want) {
		t.Errorf("presets %q, want %q", names, want)
	}
	if grid := GridPresets(); len(grid) != 8 || grid[7].Name != "udp-blocked" {
		t.Errorf("the grid has %d presets", len(grid))
	}
}

func testPreset(t *testing.T, n *Network, p Preset) {
	core, server := n.Router("core"), n.Host("server")
	link := LinkConfig{Delay: 5 * time.Millisecond}
	Must(n.Connect(server, core, link, s1Addr, "2001:db8::1"))
	site, err := p.Attach(n, "home", core, link, natAddr, "2001:db8:7::/48")
	if err != nil {
		t.Fatal(err)
	}
	if len(site.Boxes) != len(p.Boxes) || len(site.Links) != len(p.Boxes) {
		t.Fatalf("%d boxes, %d links, want %d", len(site.Boxes), len(site.Links), len(p.Boxes))
	}
	host := n.Host("host")
	Must(n.Connect(host, site.Inner, LinkConfig{}, site.HostAddrs(0)...))
	if got := len(host.Addrs()); (got == 2) != (p.IPv4 && p.IPv6) || got == 0 {
		t.Fatalf("the host has %v", host.Addrs())
	}
	blocked := slices.ContainsFunc(p.Boxes, func(c NATConfig) bool { return c.BlockUDP })
	for _, local := range host.Addrs() {
		remote := s1Addr + ":443"
		switch {
		case p.translates64():
			remote = "[64:ff9b::cb00:7101]:443"
		case local.Is6():
			remote = "[2001:db8::1]:443"
		}
		a := listen(t, host, netip.AddrPortFrom(local, 5000).String())
		at := "[::]:443"
		if local.Is4() || p.translates64() {
			at = "0.0.0.0:443"
		}
		s := listen(t, server, at)
		a.send(addr(remote), "hello")
		if blocked {
			s.wantNone()
			continue
		}
		d := s.want("hello")
		s.send(d.Addr, "answer")
		if got := a.want("answer").Addr; got != addr(remote) {
			t.Errorf("answered by %v", got)
		}
		if outer := d.Addr.Addr(); local.Is4() && outer.String() != natAddr {
			t.Errorf("seen at %v", outer)
		}
	}
	n.SetName("server.example", netip.MustParseAddr(s1Addr))
	for _, port := range []string{"443", "8443"} {
		l, err := server.Listen("tcp4", "0.0.0.0:"+port)
		if err != nil {
			t.Fatal(err)
		}
		c, err := host.DialContext(t.Context(), "tcp", "server.example:"+port)
		if err == nil {
			c.Close()
		}
		if want := p.Name != "corporate" || port == "443"; (err == nil) != want {
			t.Errorf("TCP to port %s: %v, want %t", port, err, want)
		}
		l.Close()
	}
}

func TestPresetErrors(t *testing.T) {
	if _, err := PresetByName("fullcone"); err == nil || !strings.Contains(err.Error(), "there are full-cone, restricted") {
		t.Errorf("got %v", err)
	}
	simulate(t, func(t *testing.T, n *Network) {
		core := n.Router("core")
		for i, test := range []struct {
			preset string
			wan    []string
			want   string
		}{
			{"cgn", nil, "needs an external IPv4 address"},
			{"nat64", []string{natAddr}, "needs a prefix of IPv6"},
			{"nat64", []string{"2001:db8:7::/48"}, "needs an external IPv4 address"},
			{"firewall-v6", []string{natAddr, "2001:db8:7::1/96"}, "at most 64 bits"},
			{"hotel", []string{natAddr, "198.51.100.8"}, "one address of IPv4"},
			{"hotel", []string{"here"}, "here"},
		} {
			p := Must(PresetByName(test.preset))
			if _, err := p.Attach(n, "x", core, LinkConfig{}, test.wan...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d: got %v, want %s", i, err, test.want)
			}
		}
	})
}
