// Package nat64 is the embedding of IPv4 addresses in IPv6 ones: how a host
// without IPv4 names an IPv4 host to the translator of its network (RFC 6052),
// and how it finds out that there is one (RFC 7050).
package nat64

import (
	"net/netip"
	"slices"
)

// WellKnown is the well-known prefix (RFC 6052 §2.1).
var WellKnown = netip.MustParsePrefix("64:ff9b::/96")

// DiscoveryName is the name that has IPv4 addresses only, so that an IPv6
// address of it is a translator's (RFC 7050 §3).
const DiscoveryName = "ipv4only.arpa"

// discoveryAddrs are the addresses of DiscoveryName (RFC 7050 §8.2).
var discoveryAddrs = [...]netip.Addr{
	netip.AddrFrom4([4]byte{192, 0, 0, 170}),
	netip.AddrFrom4([4]byte{192, 0, 0, 171}),
}

// DiscoveryAddrs returns the IPv4 addresses of DiscoveryName.
func DiscoveryAddrs() []netip.Addr { return slices.Clone(discoveryAddrs[:]) }

// lengths are those that a prefix may have (RFC 6052 §2.2), the most usual first.
var lengths = [...]int{96, 64, 56, 48, 40, 32}

// Valid reports whether p can be the prefix of a translator.
func Valid(p netip.Prefix) bool {
	if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() || p.Addr().Zone() != "" || !slices.Contains(lengths[:], p.Bits()) {
		return false
	}
	return p.Bits() < 96 || p.Masked().Addr().As16()[8] == 0 // bits 64 to 71
}

// index returns where the i-th byte of the IPv4 address stands behind a prefix
// of so many bits: right behind it, but for byte 8, which is zero (RFC 6052 §2.2).
func index(bits, i int) int {
	at := bits/8 + i
	if bits <= 64 && at >= 8 {
		at++
	}
	return at
}

// Embed returns the IPv6 address that stands for the IPv4 address a; false if p
// is no prefix of a translator or a is not IPv4.
func Embed(p netip.Prefix, a netip.Addr) (netip.Addr, bool) {
	if !Valid(p) || !a.Is4() {
		return netip.Addr{}, false
	}
	out, v4 := p.Masked().Addr().As16(), a.As4()
	for i, b := range v4 {
		out[index(p.Bits(), i)] = b
	}
	return netip.AddrFrom16(out), true
}

// Extract returns the IPv4 address that the IPv6 address a stands for. The bits
// behind it are ignored (RFC 6052 §2.3).
func Extract(p netip.Prefix, a netip.Addr) (netip.Addr, bool) {
	if !Valid(p) || !p.Contains(a) {
		return netip.Addr{}, false
	}
	in := a.As16()
	if p.Bits() < 96 && in[8] != 0 {
		return netip.Addr{}, false
	}
	var v4 [4]byte
	for i := range v4 {
		v4[i] = in[index(p.Bits(), i)]
	}
	return netip.AddrFrom4(v4), true
}

// Prefix returns the prefix by which the IPv6 address a stands for the IPv4 address v4: the most
// usual, if several do.
func Prefix(a, v4 netip.Addr) (netip.Prefix, bool) {
	if !a.Is6() || a.Is4In6() {
		return netip.Prefix{}, false
	}
	for _, bits := range lengths {
		p := netip.PrefixFrom(a.WithZone(""), bits).Masked()
		if got, ok := Extract(p, a.WithZone("")); ok && got == v4 {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// Find returns the prefixes that the addresses of DiscoveryName tell of, in the
// order of the addresses and without repetition (RFC 7050 §3). An address in
// which the sought one stands at two places tells nothing.
func Find(addrs []netip.Addr) []netip.Prefix {
	var found []netip.Prefix
	for _, a := range addrs {
		if p, ok := find(a); ok && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

func find(a netip.Addr) (found netip.Prefix, ok bool) {
	if !a.Is6() || a.Is4In6() {
		return netip.Prefix{}, false
	}
	for _, bits := range lengths {
		p := netip.PrefixFrom(a.WithZone(""), bits).Masked()
		v4, is := Extract(p, a.WithZone(""))
		if !is || !slices.Contains(discoveryAddrs[:], v4) {
			continue
		}
		if ok {
			return netip.Prefix{}, false
		}
		found, ok = p, true
	}
	return found, ok
}
