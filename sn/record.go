package sn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// The records of the state file (spec §7). Integers are big-endian, lengths are
// 2 bytes, addresses those of netip.AddrPort.AppendBinary behind a length of one
// byte, times of the wall clock in seconds since 1970.

// errRecord: a record of the state file does not parse.
var errRecord = errors.New("malformed record")

// A deviceRecord is what is kept of a registered device.
type deviceRecord struct {
	boot       uint64 // the run of the server that wrote it
	heard      int64  // wall clock
	instance   uint64
	visibility wire.Visibility
	rtt        time.Duration
	via        netip.AddrPort // the server's socket
	at         netip.AddrPort // the device
	owner      identity.ID
	descriptor object
	candidates []byte
	assoc      *noise.Association
}

// Append appends the record, with keys.
func (r *deviceRecord) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.boot)
	b = binary.BigEndian.AppendUint64(b, uint64(r.heard))
	b = binary.BigEndian.AppendUint64(b, r.instance)
	b = append(b, byte(r.visibility))
	b = binary.BigEndian.AppendUint64(b, uint64(r.rtt))
	b = appendAddr(b, r.via)
	b = appendAddr(b, r.at)
	b = append(b, r.owner[:]...)
	b = binary.BigEndian.AppendUint64(b, r.descriptor.updated)
	b = appendBytes(b, r.descriptor.bytes)
	b = appendBytes(b, r.candidates)
	return r.assoc.AppendState(b)
}

// parseDeviceRecord parses what Append made. The record shares nothing with b.
func parseDeviceRecord(b []byte) (deviceRecord, error) {
	c := cursor{b: b}
	r := deviceRecord{
		boot:       c.uint64(),
		heard:      int64(c.uint64()),
		instance:   c.uint64(),
		visibility: wire.Visibility(c.uint8()),
		rtt:        time.Duration(c.uint64()),
		via:        c.addr(),
		at:         c.addr(),
	}
	copy(r.owner[:], c.take(len(r.owner)))
	r.descriptor = object{c.uint64(), c.bytes(wire.MaxDevice)}
	r.candidates = c.bytes(maxCandidatesLen)
	if c.bad || r.visibility > wire.VisibleNobody || r.rtt < 0 {
		return deviceRecord{}, fmt.Errorf("sn: device: %w", errRecord)
	}
	var err error
	if r.assoc, err = noise.RestoreAssociation(c.b); err != nil {
		return deviceRecord{}, fmt.Errorf("sn: device: %w", err)
	}
	return r, nil
}

// maxCandidatesLen is the longest wire.Candidates message.
const maxCandidatesLen = 2 + wire.MaxCandidates*20

// An objectRecord is what is kept of an object in the directory.
type objectRecord struct {
	until int64 // wall clock
	from  network
	object
}

func (r *objectRecord) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(r.until))
	b = binary.BigEndian.AppendUint64(b, uint64(r.from))
	b = binary.BigEndian.AppendUint64(b, r.updated)
	return append(b, r.bytes...)
}

func parseObjectRecord(b []byte) (objectRecord, error) {
	c := cursor{b: b}
	r := objectRecord{until: int64(c.uint64()), from: network(c.uint64()), object: object{updated: c.uint64()}}
	if c.bad || len(c.b) == 0 || len(c.b) > wire.MaxStored {
		return objectRecord{}, fmt.Errorf("sn: object: %w", errRecord)
	}
	r.object.bytes = append([]byte(nil), c.b...)
	return r, nil
}

// A beat is what changes about a device with each of its packets: written for
// many at once, since a record for each would be most of the work.
type beat struct {
	index         uint32 // of the association
	heard         int64  // wall clock
	rtt           time.Duration
	counter, next uint64 // as noise.Association.Counters
}

const beatLen = 4 + 8 + 8 + 8 + 8

// A beatRecord is the beats of some devices.
type beatRecord struct {
	boot  uint64 // the run of the server that wrote it
	beats []beat
}

func (r *beatRecord) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, r.boot)
	for i := range r.beats {
		x := &r.beats[i]
		b = binary.BigEndian.AppendUint32(b, x.index)
		b = binary.BigEndian.AppendUint64(b, uint64(x.heard))
		b = binary.BigEndian.AppendUint64(b, uint64(x.rtt))
		b = binary.BigEndian.AppendUint64(b, x.counter)
		b = binary.BigEndian.AppendUint64(b, x.next)
	}
	return b
}

func parseBeatRecord(b []byte) (beatRecord, error) {
	c := cursor{b: b}
	r := beatRecord{boot: c.uint64()}
	if c.bad || len(c.b)%beatLen != 0 {
		return beatRecord{}, fmt.Errorf("sn: beats: %w", errRecord)
	}
	r.beats = make([]beat, 0, len(c.b)/beatLen)
	for len(c.b) > 0 {
		x := beat{c.uint32(), int64(c.uint64()), time.Duration(c.uint64()), c.uint64(), c.uint64()}
		if x.rtt < 0 {
			return beatRecord{}, fmt.Errorf("sn: beats: %w", errRecord)
		}
		r.beats = append(r.beats, x)
	}
	return r, nil
}

func appendBytes(b, p []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	at := len(b)
	b, _ = a.AppendBinary(append(b, 0)) // never fails
	b[at] = byte(len(b) - at - 1)
	return b
}

// A cursor takes fields from the front of a record; after one that is not there
// it is bad, and every field is zero.
type cursor struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, nil if there are fewer.
func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.b, c.bad = nil, true
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) uint8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if p := c.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// bytes returns a copy of a field of at most limit bytes, nil if it is empty.
func (c *cursor) bytes(limit int) []byte {
	n := int(c.uint16())
	if n > limit {
		c.b, c.bad = nil, true
	}
	if n == 0 {
		return nil
	}
	return append([]byte(nil), c.take(n)...)
}

func (c *cursor) addr() (a netip.AddrPort) {
	p := c.take(int(c.uint8()))
	if c.bad || a.UnmarshalBinary(p) != nil || !a.IsValid() {
		c.b, c.bad = nil, true
		return netip.AddrPort{}
	}
	return a
}
