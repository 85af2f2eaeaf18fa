package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// headerLen is type, version and epoch (spec §2).
const headerLen = 4

// appendHeader appends the start of a control packet other than Sealed.
func appendHeader(b []byte, t Type) []byte {
	return append(b, byte(t), Version, 0, 0)
}

func appendUint16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// flag returns bit if v is set, else 0.
func flag(v bool, bit byte) byte {
	if v {
		return bit
	}
	return 0
}

// appendBytes appends p behind its length in 2 bytes.
func appendBytes(b, p []byte) []byte {
	return append(appendUint16(b, uint16(len(p))), p...)
}

// appendMicros appends d in whole microseconds, in 4 bytes: 0 if negative, at
// most 2^32-1, which is 71 minutes.
func appendMicros(b []byte, d time.Duration) []byte {
	return appendUint32(b, uint32(min(max(d.Microseconds(), 0), math.MaxUint32)))
}

// appendAddr appends length, address and port. A mapped IPv4 address is sent as
// IPv4; a zone means nothing elsewhere and is left out.
func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap()
	b = append(b, byte(ip.BitLen()/8))
	b = append(b, ip.AsSlice()...)
	return appendUint16(b, a.Port())
}

// A reader takes fields from the front of an input. The first failure sticks:
// from then on every field reads as zero, so that a parser checks once, at end.
type reader struct {
	what string // what is parsed, for the error
	size int    // of the whole input
	b    []byte // what is left of it
	err  error
}

// readControl begins a control packet of type t other than Sealed.
func readControl(b []byte, t Type) reader {
	r := reader{what: t.String(), size: len(b), b: b}
	got, err := ControlType(b)
	switch {
	case err != nil:
		r.fail(err)
	case got != t:
		r.fail(ErrType)
	case b[2] != 0 || b[3] != 0: // the epoch
		r.fail(ErrValue)
	}
	r.take(headerLen)
	return r
}

// readMessage begins a Sealed message of type t.
func readMessage(b []byte, t MessageType) reader {
	r := reader{what: t.String(), size: len(b), b: b}
	if MessageType(r.uint8()) != t {
		r.fail(ErrType)
	}
	return r
}

// readPayload begins what has no type of its own.
func readPayload(b []byte, what string) reader {
	return reader{what: what, size: len(b), b: b}
}

// end returns what was read, or the zero value and the error. Bytes left over
// are one.
func end[T any](r *reader, m T) (T, error) {
	if r.err == nil && len(r.b) > 0 {
		r.fail(ErrTrailing)
	}
	if r.err != nil {
		var zero T
		return zero, r.err
	}
	return m, nil
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("wire: %s: after %d bytes: %w", r.what, r.size-len(r.b), err)
	}
	r.b = nil
}

// check fails with ErrValue unless ok.
func (r *reader) check(ok bool) {
	if !ok {
		r.fail(ErrValue)
	}
}

// atMost fails with ErrCount if the whole input is longer than limit bytes.
func (r *reader) atMost(limit int) {
	if r.size > limit {
		r.fail(ErrCount)
	}
}

// take returns the next n bytes, nil if there are fewer.
func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail(ErrShort)
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

// rest returns all but the last n bytes.
func (r *reader) rest(n int) []byte {
	return r.take(max(len(r.b)-n, 0))
}

// skip drops what is left: padding.
func (r *reader) skip() { r.b = nil }

func (r *reader) uint8() uint8 {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if p := r.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if p := r.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if p := r.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (r *reader) bool() bool {
	v := r.uint8()
	r.check(v <= 1)
	return v == 1
}

func (r *reader) micros() time.Duration {
	return time.Duration(r.uint32()) * time.Microsecond
}

func (r *reader) id() (id identity.ID) {
	copy(id[:], r.take(len(id)))
	return id
}

// bytes8 and bytes return a field of at most limit bytes behind its length in 1
// or 2 bytes, nil if it is empty.
func (r *reader) bytes8(limit int) []byte { return r.upTo(int(r.uint8()), limit) }
func (r *reader) bytes(limit int) []byte  { return r.upTo(int(r.uint16()), limit) }

func (r *reader) upTo(n, limit int) []byte {
	if n > limit {
		r.fail(ErrCount)
	}
	if n == 0 {
		return nil
	}
	return r.take(n)
}

// addr returns an address that a packet may be sent to (spec §4).
func (r *reader) addr() netip.AddrPort {
	n := int(r.uint8())
	r.check(n == 4 || n == 16)
	ip, _ := netip.AddrFromSlice(r.take(n)) // the zero Addr after a failure
	a := netip.AddrPortFrom(ip, r.uint16())
	if r.err != nil {
		return netip.AddrPort{}
	}
	r.check(!ip.IsUnspecified() && !ip.IsMulticast() && !ip.Is4In6() && a.Port() != 0)
	return a
}
