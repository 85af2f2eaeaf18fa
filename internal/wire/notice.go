package wire

import "strconv"

// NoticeCode says what an SN or PN tells a device (spec §6).
type NoticeCode uint8

// The notices. Numbers are never reused; one that is not known is ignored.
const (
	NoticeSuperseded NoticeCode = 1 // another instance of the device has registered
	NoticeDraining   NoticeCode = 2 // the SN or PN is about to stop
)

// String returns the name of the notice.
func (c NoticeCode) String() string {
	switch c {
	case NoticeSuperseded:
		return "superseded"
	case NoticeDraining:
		return "draining"
	}
	return "notice " + strconv.Itoa(int(c))
}

// Notice tells a device something that it did not ask for (spec §6).
type Notice struct {
	Code NoticeCode
}

// Append appends the message to b.
func (m *Notice) Append(b []byte) []byte {
	return append(b, byte(MsgNotice), byte(m.Code))
}

// ParseNotice parses a message.
func ParseNotice(b []byte) (Notice, error) {
	var m Notice
	r := readMessage(b, MsgNotice)
	m.Code = NoticeCode(r.uint8())
	return end(&r, m)
}
