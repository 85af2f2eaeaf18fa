package wire

import "net/netip"

// MaxBeaconAddrs is how many addresses a Query or an Announce holds at most.
const MaxBeaconAddrs = 4

// Query asks, on the local network, for a device (spec §2, docs/spec/discovery.md).
type Query struct {
	Nonce [16]byte         // random
	Tag   [16]byte         // over all else, keyed by the id of the device that is sought
	Addrs []netip.AddrPort // where the asker may be answered, at least 1 and at most MaxBeaconAddrs
}

// Append appends the packet to b.
func (m *Query) Append(b []byte) []byte {
	return appendBeacon(b, TypeQuery, m.Nonce, m.Tag, m.Addrs)
}

// ParseQuery parses a packet.
func ParseQuery(b []byte) (Query, error) {
	r := readControl(b, TypeQuery)
	var m Query
	m.Nonce, m.Tag, m.Addrs = r.beacon()
	return end(&r, m)
}

// appendBeacon appends what a Query and an Announce consist of.
func appendBeacon(b []byte, t Type, nonce, tag [16]byte, addrs []netip.AddrPort) []byte {
	b = appendHeader(b, t)
	b = append(b, nonce[:]...)
	b = append(b, tag[:]...)
	b = append(b, byte(len(addrs)))
	for _, a := range addrs {
		b = appendAddr(b, a)
	}
	return b
}

func (r *reader) beacon() (nonce, tag [16]byte, addrs []netip.AddrPort) {
	copy(nonce[:], r.take(len(nonce)))
	copy(tag[:], r.take(len(tag)))
	n := int(r.uint8())
	if n > MaxBeaconAddrs {
		r.fail(ErrCount)
	}
	r.check(n > 0)
	if r.err != nil {
		return nonce, tag, nil
	}
	addrs = make([]netip.AddrPort, n)
	for i := range addrs {
		addrs[i] = r.addr()
	}
	return nonce, tag, addrs
}
