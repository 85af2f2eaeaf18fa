package wire

import "net/netip"

// Announce tells, on the local network, where a device is (spec §2,
// docs/spec/discovery.md).
type Announce struct {
	Nonce [16]byte         // random
	Tag   [16]byte         // over all else, keyed by the id of the device
	Addrs []netip.AddrPort // where the device is, at least 1 and at most MaxBeaconAddrs
}

// Append appends the packet to b.
func (m *Announce) Append(b []byte) []byte {
	return appendBeacon(b, TypeAnnounce, m.Nonce, m.Tag, m.Addrs)
}

// ParseAnnounce parses a packet.
func ParseAnnounce(b []byte) (Announce, error) {
	r := readControl(b, TypeAnnounce)
	var m Announce
	m.Nonce, m.Tag, m.Addrs = r.beacon()
	return end(&r, m)
}
