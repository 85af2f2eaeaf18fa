package wire

// RelayedHeaderLen is what a relay adds to each packet, in bytes (spec §2). It is the
// same in both directions, so that a PN forwards what it receives as it is.
const RelayedHeaderLen = headerLen + 16

// MaxRelayed is the longest Relayed, in bytes.
const MaxRelayed = RelayedHeaderLen + MaxPacket

// Relayed is a packet of a device on its way through a PN (spec §2,
// docs/spec/relay.md §4).
type Relayed struct {
	Tag    Tag
	Packet []byte // what travels: a control packet or one of a session's engine; not empty
}

// Append appends the packet to b.
func (m *Relayed) Append(b []byte) []byte {
	return append(AppendRelayedHeader(b, m.Tag), m.Packet...)
}

// AppendRelayedHeader appends what stands before a relayed packet.
func AppendRelayedHeader(b []byte, t Tag) []byte {
	return append(appendHeader(b, TypeRelayed), t[:]...)
}

// ParseRelayed parses a packet, whatever its length. Packet aliases b. It is on the
// path of every relayed packet, and its errors are those of [ControlType], and
// ErrValue for an epoch.
func ParseRelayed(b []byte) (Relayed, error) {
	t, err := ControlType(b)
	switch {
	case err != nil:
		return Relayed{}, err
	case t != TypeRelayed:
		return Relayed{}, ErrType
	case b[2] != 0 || b[3] != 0:
		return Relayed{}, ErrValue
	}
	return Relayed{Tag: Tag(b[headerLen:]), Packet: b[RelayedHeaderLen:]}, nil
}
