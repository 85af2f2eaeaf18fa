package underlay_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/underlay"
	"github.com/bdtnet/bdt/underlay/underlaytest"
)

// TestMulticaster runs the suite on every interface that can carry groups.
func TestMulticaster(t *testing.T) {
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	tested := false
	for _, ifi := range list {
		s, ok := segment(ifi)
		if !ok {
			continue
		}
		tested = true
		t.Run(ifi.Name, func(t *testing.T) {
			underlaytest.TestMulticaster(t, func(t *testing.T, body func(*testing.T, underlaytest.Segment)) { body(t, s) })
		})
	}
	if !tested {
		t.Skip("no interface carries multicast")
	}
}

// segment makes a segment of an interface: the machine hears itself on it.
func segment(ifi net.Interface) (s underlaytest.Segment, ok bool) {
	if ifi.Flags&net.FlagUp == 0 || ifi.Flags&(net.FlagMulticast|net.FlagLoopback) == 0 {
		return s, false
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return s, false
	}
	s = underlaytest.Segment{A: underlay.OS(), B: underlay.OS(), IfA: ifi.Name, IfB: ifi.Name}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ok = ok || p.Addr().Is4()
		s.IPv6 = s.IPv6 || p.Addr().Is6() && ifi.Flags&net.FlagMulticast != 0 // Linux has no route to IPv6 groups by lo
	}
	return s, ok
}
