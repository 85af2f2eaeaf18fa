package path

import (
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestClassify(t *testing.T) {
	v4 := LinkInfo{Local: addr("0.0.0.0:4000"), Prefixes: prefixes("192.0.2.1/24", "192.168.7.2/24")}
	v6 := LinkInfo{Local: addr("[::]:4000"), Prefixes: prefixes("2001:db8::1/64")}
	relay := LinkInfo{Transport: TransportRelay}
	tcp := LinkInfo{Transport: TransportTCP}
	const host, srflx, conf, mapped = wire.CandidateHost, wire.CandidateServerReflexive, wire.CandidateConfigured, wire.CandidateMapped
	tests := []struct {
		name     string
		link     LinkInfo
		remote   string
		told     wire.CandidateKind // 0: nothing
		observed string             // "": not yet
		want     Kind
	}{
		{"public peer, from behind a NAT", v4, "203.0.113.1:1", host, "198.51.100.1:9", Direct},
		{"the same before the first reply", v4, "203.0.113.1:1", host, "", Direct},
		{"the same from its other end", v4, "198.51.100.1:9", srflx, "192.0.2.1:4000", Direct},
		{"the same, the peer not told", v4, "198.51.100.1:9", 0, "192.0.2.1:4000", Direct},
		{"operator's address of the peer", v4, "203.0.113.1:1", conf, "198.51.100.1:9", Direct},
		{"port mapping of the peer", v4, "203.0.113.1:1", mapped, "198.51.100.1:9", Direct},
		{"our port mapping", v4, "203.0.113.1:1", srflx, "198.51.100.7:7777", Direct},
		{"NAT at both ends", v4, "203.0.113.1:1", srflx, "198.51.100.1:9", Punched},
		{"NAT at both ends, another port than told", v4, "203.0.113.1:1", 0, "198.51.100.1:9", Punched},
		{"our address, another port", v4, "203.0.113.1:1", srflx, "192.0.2.1:4001", Punched},
		{"before anything is known", v4, "203.0.113.1:1", 0, "", Punched},
		{"same subnet", v4, "192.168.7.9:1", host, "192.168.7.2:4000", LAN},
		{"same public subnet", v4, "192.0.2.9:1", host, "192.0.2.1:4000", LAN},
		{"a NAT in our public subnet", v4, "192.0.2.9:1", srflx, "192.0.2.1:4000", Direct},
		{"private, another subnet", v4, "192.168.8.9:1", host, "192.168.7.2:4000", LAN},
		{"from behind a NAT in our subnet", v4, "192.168.7.9:1", 0, "192.168.7.2:4000", LAN},
		{"a NAT at both ends in one carrier's network", v4, "100.64.1.1:1", 0, "100.64.1.2:9", Punched},
		{"IPv6 hosts", v6, "[2001:db8:1::1]:1", host, "[2001:db8::1]:4000", Direct},
		{"IPv6 subnet", v6, "[2001:db8::9]:1", host, "[2001:db8::1]:4000", LAN},
		{"relay", relay, "203.0.113.1:1", host, "192.0.2.1:4000", Relayed},
		{"tcp", tcp, "203.0.113.1:1", host, "192.0.2.1:4000", TCP},
	}
	for _, tt := range tests {
		s := New(Config{})
		s.SetLocalCandidates([]wire.Candidate{
			{Kind: mapped, Addr: addr("198.51.100.7:7777")},
			{Kind: srflx, Addr: addr("198.51.100.1:9")},
		})
		p := &path{link: &link{tt.link}, addr: addr(tt.remote)}
		if tt.told != 0 {
			p.cand = &candidate{kinds: kindSetOf(tt.told)}
		}
		if tt.observed != "" {
			p.observed = netip.MustParseAddrPort(tt.observed)
		}
		if got := s.classify(p); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Kinds that this version does not know say nothing.
func TestUnknownCandidateKind(t *testing.T) {
	if kindSetOf(200).open() || kindSetOf(0).open() {
		t.Error("an unknown kind counts as open")
	}
}
