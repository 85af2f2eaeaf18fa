package wire

// PublishPart brings an SN a part of a signed object that does not fit a Publish
// (spec §6). Each is answered by a Published, that of the last part as a Publish
// would be.
type PublishPart struct {
	Request uint32 // chosen by the device, returned in the answer
	Part    Part
}

// Append appends the message to b.
func (m *PublishPart) Append(b []byte) []byte {
	b = append(b, byte(MsgPublishPart))
	b = appendUint32(b, m.Request)
	return m.Part.append(b)
}

// ParsePublishPart parses a message. The part aliases b.
func ParsePublishPart(b []byte) (PublishPart, error) {
	var m PublishPart
	r := readMessage(b, MsgPublishPart)
	m.Request = r.uint32()
	m.Part = r.part()
	r.check(len(m.Part.Bytes) > 0)
	return end(&r, m)
}
