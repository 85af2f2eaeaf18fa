package netcheck_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/netcheck"
	"github.com/bdtnet/bdt/netsim"
)

// IPv6 behind a firewall is not translated, and IPv4 beside it is: each family is told for itself.
func TestBothFamilies(t *testing.T) {
	inWorld(t, twoAddresses, func(t *testing.T, w *world) {
		site := netsim.Must(netsim.Must(netsim.PresetByName("firewall-v6")).Attach(w.net, "home", w.core,
			netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.7", "2001:db8:7::/48"))
		host := w.net.Host("client")
		netsim.Must(w.net.Connect(host, site.Inner, netsim.LinkConfig{}, site.HostAddrs(0)...))
		r := w.examine(t.Context(), host)
		check(t, "IPv4 mapping", r.IPv4.Mapping, netcheck.EndpointIndependent)
		check(t, "IPv4 filtering", r.IPv4.Filtering, netcheck.AddressAndPortDependent)
		check(t, "IPv4 hairpin", r.IPv4.Hairpin, netcheck.No)
		check(t, "IPv6 mapping", r.IPv6.Mapping, netcheck.None)
		check(t, "IPv6 filtering", r.IPv6.Filtering, netcheck.AddressAndPortDependent)
		check(t, "IPv6 hairpin", r.IPv6.Hairpin, netcheck.None)
		if r.IPv6.NAT64 || r.IPv6.Observed.Addr().Is4() {
			t.Errorf("IPv6 %+v", r.IPv6)
		}
	})
}

// A NAT64 is told from servers that have IPv4 only, like any NAT: what they name is reached by the
// addresses that stand for it, under a prefix of whatever length.
func TestNAT64(t *testing.T) {
	ipv4 := layout{"two addresses of IPv4", []server{{addrs: []string{"203.0.113.1", "203.0.113.2"}}}}
	for _, c := range []struct {
		prefix, server string // the server's first address under the prefix
		mapping        netsim.Behavior
		hairpin        bool
		want           string
	}{
		{"64:ff9b::/96", "64:ff9b::203.0.113.1", netsim.EndpointIndependent, true, netcheck.Yes},
		{"64:ff9b::/96", "64:ff9b::203.0.113.1", netsim.EndpointIndependent, false, netcheck.No},
		{"2001:db8:64::/48", "2001:db8:64:cb00:71:100::", netsim.EndpointIndependent, true, netcheck.Yes},
		{"64:ff9b::/96", "64:ff9b::203.0.113.1", netsim.AddressAndPortDependent, true, netcheck.Unknown},
	} {
		t.Run(c.prefix+", "+behaviors[c.mapping]+", hairpin "+c.want, func(t *testing.T) {
			inWorld(t, ipv4, func(t *testing.T, w *world) {
				host, nat := w.net.Host("phone"), w.net.NAT("nat64", netsim.NATConfig{
					Mapping: c.mapping, Filtering: netsim.AddressAndPortDependent, Ports: netsim.RandomPort, Hairpin: c.hairpin,
					Prefix64: netip.MustParsePrefix(c.prefix),
				})
				netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.7"))
				netsim.Must(w.net.Connect(host, nat, netsim.LinkConfig{}, "2001:db8:7::2/64"))
				w.servers = [][]netip.AddrPort{{netip.AddrPortFrom(netip.MustParseAddr(c.server), 8443)}}
				r := w.examine(t.Context(), host)
				if !r.IPv6.NAT64 || r.IPv4.Works || r.IPv6.Observed.Addr() != netip.MustParseAddr("198.51.100.7") {
					t.Errorf("IPv4 %+v, IPv6 %+v", r.IPv4, r.IPv6)
				}
				check(t, "mapping", r.IPv6.Mapping, behaviors[c.mapping])
				check(t, "filtering", r.IPv6.Filtering, netcheck.AddressAndPortDependent)
				check(t, "hairpin", r.IPv6.Hairpin, c.want)
				check(t, "port preservation", r.IPv6.PortPreservation, netcheck.No)
			})
		})
	}
}
