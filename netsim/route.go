package netsim

import (
	"net/netip"
	"slices"
)

var (
	default4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	default6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

// routes is a routing table: the longest matching prefix decides
// (RFC 1812 §5.2.4.3). The zero value is empty.
type routes struct {
	to           map[netip.Prefix]*pipe
	bits4, bits6 []int // the prefix lengths there are or have been, longest first
}

// add routes p by out unless p has a route. It reports whether it did.
func (r *routes) add(p netip.Prefix, out *pipe) bool {
	p = p.Masked()
	if _, ok := r.to[p]; ok {
		return false
	}
	if r.to == nil {
		r.to = make(map[netip.Prefix]*pipe)
	}
	r.to[p] = out
	bits := r.bits(p.Addr())
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
		slices.Sort(*bits)
		slices.Reverse(*bits)
	}
	return true
}

// remove removes the route of p if it leads by out.
func (r *routes) remove(p netip.Prefix, out *pipe) bool {
	p = p.Masked()
	if r.to[p] != out {
		return false
	}
	delete(r.to, p)
	return true
}

// lookup returns the way to a, or nil.
func (r *routes) lookup(a netip.Addr) *pipe {
	for _, bits := range *r.bits(a) {
		p, err := a.Prefix(bits)
		if err != nil {
			return nil // not an address
		}
		if out, ok := r.to[p]; ok {
			return out
		}
	}
	return nil
}

func (r *routes) bits(a netip.Addr) *[]int {
	if a.Is4() {
		return &r.bits4
	}
	return &r.bits6
}
