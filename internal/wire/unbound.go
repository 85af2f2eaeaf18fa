package wire

import "strconv"

// UnboundReason says why a binding ended (spec §8).
type UnboundReason uint8

// The reasons. Numbers are never reused; one that is not known is none in particular.
const (
	UnboundPeer     UnboundReason = 1 // the other end has left it, or the PN
	UnboundIdle     UnboundReason = 2 // nothing was sent for long
	UnboundUnmet    UnboundReason = 3 // the other end did not come
	UnboundQuota    UnboundReason = 4 // whoever pays has used up the allowance
	UnboundUnlisted UnboundReason = 5 // whoever pays may not use the PN any more
)

// String returns the name of the reason.
func (u UnboundReason) String() string {
	switch u {
	case UnboundPeer:
		return "peer left"
	case UnboundIdle:
		return "idle"
	case UnboundUnmet:
		return "peer did not come"
	case UnboundQuota:
		return "allowance used up"
	case UnboundUnlisted:
		return "not admitted any more"
	}
	return "reason " + strconv.Itoa(int(u))
}

// Unbound tells a device that a binding of its own has ended (spec §8).
type Unbound struct {
	Tag    Tag
	Reason UnboundReason
}

// Append appends the message to b.
func (m *Unbound) Append(b []byte) []byte {
	return append(append(append(b, byte(MsgUnbound)), m.Tag[:]...), byte(m.Reason))
}

// ParseUnbound parses a message.
func ParseUnbound(b []byte) (Unbound, error) {
	var m Unbound
	r := readMessage(b, MsgUnbound)
	m.Tag = r.tag()
	m.Reason = UnboundReason(r.uint8())
	return end(&r, m)
}
