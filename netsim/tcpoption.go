package netsim

import "encoding/binary"

// windowScale is the shift that a SYN announces (RFC 7323 §2.2). Simulated segments hold
// the window unshifted.
const windowScale = 10

// optionSize returns the bytes of the options.
func (t *TCPHeader) optionSize() int {
	n := 0
	if t.MSS != 0 {
		n += 12
	}
	if k := len(t.SACK); k > 0 {
		n += 4 + 8*k
	}
	return n
}

// appendOptions appends the options as they are on the wire, padded.
func (t *TCPHeader) appendOptions(b []byte) []byte {
	const nop = 1
	if t.MSS != 0 {
		b = append(b, 2, 4) // maximum segment size, RFC 9293 §3.2
		b = binary.BigEndian.AppendUint16(b, t.MSS)
		b = append(b, nop, 3, 3, windowScale) // window scale
		b = append(b, nop, nop, 4, 2)         // SACK permitted, RFC 2018 §2
	}
	if k := len(t.SACK); k > 0 {
		b = append(b, nop, nop, 5, byte(2+8*k))
		for _, r := range t.SACK {
			b = binary.BigEndian.AppendUint32(b, r.First)
			b = binary.BigEndian.AppendUint32(b, r.End)
		}
	}
	return b
}
