package underlay

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		t.Fatal("no interfaces", err)
	}
	for _, want := range []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:258"),
		netip.MustParseAddrPort("[2001:db8::1]:65535"),
		netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(list[0].Name), 1),
	} {
		var sa unix.RawSockaddrInet6
		putSockaddr(&sa, want)
		if got := getSockaddr(&sa); got != want {
			t.Errorf("%v came back as %v", want, got)
		}
	}
	if got := getSockaddr(&unix.RawSockaddrInet6{Family: unix.AF_UNIX}); got.IsValid() {
		t.Errorf("address of another family: %v", got)
	}
}

// The largest ancillary data that a write can need fits.
func TestControlFits(t *testing.T) {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		t.Fatal("no interfaces", err)
	}
	var c control
	local := netip.MustParseAddr("fe80::1").WithZone(list[0].Name)
	b := appendControl(c.bytes()[:0], &Datagram{
		Addr:  netip.MustParseAddrPort("[2001:db8::1]:9"),
		Local: local, ECN: 3, HopLimit: 5,
	}, 1200)
	if len(b) > len(c.bytes()) || &b[0] != &c.bytes()[0] {
		t.Fatalf("%d bytes of %d", len(b), len(c.bytes()))
	}
	var got Datagram
	parseControl(b, &got)
	if got.Local != local || got.ECN != 3 {
		t.Errorf("parsed %+v", got)
	}
}

// Ancillary data comes from the kernel, but is parsed as if it did not.
func FuzzParseControl(f *testing.F) {
	var c control
	for _, addr := range []string{"192.0.2.1:9", "[2001:db8::1]:9"} {
		ap := netip.MustParseAddrPort(addr)
		b := appendControl(c.bytes()[:0], &Datagram{Addr: ap, Local: ap.Addr(), ECN: 1}, 0)
		f.Add(append([]byte(nil), appendCmsgInt(b, unix.SOL_UDP, unix.UDP_GRO, 77)...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c control
		n := copy(c.bytes(), b)
		var d Datagram
		parseControl(c.bytes()[:n], &d)
		if d.ECN > 3 || d.Addr.IsValid() || d.Data != nil {
			t.Errorf("%+v", d)
		}
	})
}
