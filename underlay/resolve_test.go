package underlay

import (
	"context"
	"net/netip"
	"slices"
	"testing"
)

// A names network knows some names.
type names struct {
	Network
	ips []netip.Addr
}

func (n names) LookupNetIP(context.Context, string) ([]netip.Addr, error) { return n.ips, nil }

func TestResolve(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	n := names{ips: []netip.Addr{a, netip.AddrFrom16(a.As16()), b, netip.MustParseAddr("192.0.2.2")}}
	got, err := Resolve(t.Context(), n, "pn.example:8444", 2)
	want := []netip.AddrPort{netip.AddrPortFrom(a, 8444), netip.AddrPortFrom(b, 8444)}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"pn.example", "pn.example:", "pn.example:http", "pn.example:65536", "[::1:1"} {
		if got, err := Resolve(t.Context(), n, bad, 2); err == nil {
			t.Errorf("%q is at %v", bad, got)
		}
	}
}
