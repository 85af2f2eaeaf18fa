package nat64

import (
	"net/netip"
	"slices"
	"testing"
)

func ip(s string) netip.Addr       { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// vectors are the table of RFC 6052 §2.4.
var vectors = []struct{ prefix, v6 string }{
	{"2001:db8::/32", "2001:db8:c000:221::"},
	{"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
	{"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
	{"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
	{"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
	{"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
	{"64:ff9b::/96", "64:ff9b::192.0.2.33"},
}

func TestVectors(t *testing.T) {
	v4 := ip("192.0.2.33")
	for _, v := range vectors {
		got, ok := Embed(prefix(v.prefix), v4)
		if !ok || got != ip(v.v6) {
			t.Errorf("embedded in %s: %v, %v; want %s", v.prefix, got, ok, v.v6)
		}
		back, ok := Extract(prefix(v.prefix), ip(v.v6))
		if !ok || back != v4 {
			t.Errorf("extracted from %s: %v, %v", v.v6, back, ok)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, p := range []netip.Prefix{
		{}, prefix("2001:db8::/33"), prefix("2001:db8::/128"), prefix("10.0.0.0/8"),
		prefix("::ffff:0:0/96"), prefix("2001:db8:0:0:100::/96"),
	} {
		if Valid(p) {
			t.Errorf("%v is taken for a prefix", p)
		}
		if a, ok := Embed(p, ip("192.0.2.1")); ok {
			t.Errorf("%v embeds as %v", p, a)
		}
		if a, ok := Extract(p, ip("2001:db8::1")); ok {
			t.Errorf("%v extracts %v", p, a)
		}
	}
	if a, ok := Embed(WellKnown, ip("2001:db8::1")); ok {
		t.Errorf("IPv6 embeds as %v", a)
	}
	if a, ok := Extract(WellKnown, ip("2001:db8::1")); ok {
		t.Errorf("an address of another prefix gives %v", a)
	}
	if a, ok := Extract(prefix("2001:db8:122:344::/64"), ip("2001:db8:122:344:1c0:2:2100:0")); ok {
		t.Errorf("an address with bits 64 to 71 set gives %v", a)
	}
}

func TestPrefix(t *testing.T) {
	v4 := ip("192.0.2.33")
	for _, v := range vectors {
		if got, ok := Prefix(ip(v.v6), v4); !ok || got != prefix(v.prefix) {
			t.Errorf("%s stands for %v by %v, %t; want %s", v.v6, v4, got, ok, v.prefix)
		}
	}
	for _, a := range []netip.Addr{ip("2001:db8::1"), ip("192.0.2.33"), ip("::ffff:192.0.2.33"), {}} {
		if p, ok := Prefix(a, v4); ok {
			t.Errorf("%v stands for %v by %v", a, v4, p)
		}
	}
}

func TestFind(t *testing.T) {
	for _, v := range vectors {
		var addrs []netip.Addr
		for _, a := range discoveryAddrs {
			v6, _ := Embed(prefix(v.prefix), a)
			addrs = append(addrs, a, v6)
		}
		if got := Find(addrs); !slices.Equal(got, []netip.Prefix{prefix(v.prefix)}) {
			t.Errorf("found %v, want %s", got, v.prefix)
		}
	}
	twice := ip("2001:db8::c000:aa") // /96 of 192.0.0.170
	b := twice.As16()
	copy(b[4:8], []byte{192, 0, 0, 171}) // and /32
	for _, a := range []netip.Addr{netip.AddrFrom16(b), ip("192.0.0.170"), ip("2001:db8::1"), ip("::ffff:192.0.0.170"), {}} {
		if got := Find([]netip.Addr{a}); len(got) != 0 {
			t.Errorf("%v tells of %v", a, got)
		}
	}
	if got := Find([]netip.Addr{ip("64:ff9b::192.0.0.170%eth0")}); !slices.Equal(got, []netip.Prefix{WellKnown}) {
		t.Errorf("with a zone: %v", got)
	}
}

// FuzzEmbed: what is embedded is extracted again, and nothing panics.
func FuzzEmbed(f *testing.F) {
	f.Add([]byte{0, 0x64, 0xff, 0x9b, 15: 0}, uint8(96), uint32(0xc0000221))
	f.Add([]byte{0x20, 1, 0xd, 0xb8, 15: 1}, uint8(32), uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, bits uint8, v uint32) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		p := netip.PrefixFrom(a, int(bits))
		v4 := netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		v6, ok := Embed(p, v4)
		if ok != Valid(p) {
			t.Fatalf("%v is valid: %v, embeds: %v", p, Valid(p), ok)
		}
		if ok {
			if back, ok := Extract(p, v6); !ok || back != v4 || !p.Contains(v6) {
				t.Fatalf("%v in %v is %v, and back %v", v4, p, v6, back)
			}
		}
		Extract(p, a)
		Find([]netip.Addr{a, v6})
	})
}
