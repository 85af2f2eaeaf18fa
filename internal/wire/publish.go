package wire

// Publish stores a signed object at an SN (spec §6, docs/spec/sn.md §4).
type Publish struct {
	Request uint32 // chosen by the device, returned in the answer
	Object  []byte // at most MaxObject bytes
}

// Append appends the message to b.
func (m *Publish) Append(b []byte) []byte {
	b = append(b, byte(MsgPublish))
	b = appendUint32(b, m.Request)
	return appendBytes(b, m.Object)
}

// ParsePublish parses a message. Object aliases b.
func ParsePublish(b []byte) (Publish, error) {
	var m Publish
	r := readMessage(b, MsgPublish)
	m.Request = r.uint32()
	m.Object = r.bytes(MaxObject)
	return end(&r, m)
}
