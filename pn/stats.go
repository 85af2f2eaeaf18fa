package pn

import "sync/atomic"

// Stats are counters since the start, and sizes of the moment. They are read
// one by one: sums over them may be off by what happens meanwhile.
type Stats struct {
	Sessions int // of devices, now
	Pairs    int // bindings now, half ones included
	Payers   int // payers and zones remembered now
	Waiting  int // bytes that wait for Limits.Bandwidth now

	Packets uint64 // forwarded
	Bytes   uint64 // of UDP payload, forwarded

	// Packets that were to be relayed and were dropped.
	DropMalformed uint64 // no tag, or nothing behind it
	DropUnknown   uint64 // no binding has the tag
	DropHalf      uint64 // the other end has not bound, or has no place
	DropElsewhere uint64 // not from the place of an end
	DropRate      uint64 // over the rate of a binding, payer or zone
	DropQuota     uint64 // over the day of a payer or zone
	DropQueue     uint64 // no room to wait for Limits.Bandwidth
	DropLate      uint64 // waited for too long
	DropSend      uint64 // the network did not take them

	Handshakes uint64 // initiations for which Diffie–Hellman was done
	Cookies    uint64 // answered by a cookie reply, under load
	Binds      uint64 // with status ok
	Refused    uint64 // Binds of those who are not admitted, or for whom the tag is not
	Met        uint64 // bindings that got ready
	Ended      uint64 // bindings that ended, half ones included
	Pings      uint64
	Challenges uint64
	Moves      uint64 // challenges answered
	Hints      uint64
	Describes  uint64
	Expired    uint64 // sessions forgotten after silence
	Goodbyes   uint64

	Malformed  uint64 // control packets and messages that do not parse
	Unopened   uint64 // Sealed packets that do not open: forged, replayed
	BadInits   uint64 // initiations that prove nothing
	Limited    uint64 // over a rate of requests
	NoRoom     uint64 // a table was full
	Overload   uint64 // dropped because the queue for public-key cryptography was full
	Unproven   uint64 // messages from a device whose address is not proven yet
	SendErrors uint64 // control packets that the network did not take
}

// counters are the parts of Stats that count control.
type counters struct {
	handshakes, binds, refused, met, ended, pings, challenges, moves, hints, describes, expired, goodbyes,
	malformed, unopened, badInits, limited, noRoom, overload, unproven, sendErrors atomic.Uint64
}

// A fate is what became of packets that were to be relayed.
type fate uint8

const (
	fateForwarded fate = iota
	fateMalformed
	fateUnknown
	fateHalf
	fateElsewhere
	fateRate
	fateQuota
	fateQueue
	fateLate
	fateSend
	numFates
)

// fates counts packets by what became of them. A worker has its own, so that they do not
// meet; whoever reads them sums.
type fates struct {
	packets [numFates]atomic.Uint64
	bytes   atomic.Uint64 // forwarded
}

// A tally is what a worker has counted since it last told fates.
type tally struct {
	packets [numFates]uint64
	bytes   uint64
}

// tell adds the tally to fates, and clears it.
func (t *tally) tell(f *fates) {
	for i, n := range t.packets {
		if n > 0 {
			f.packets[i].Add(n)
		}
	}
	if t.bytes > 0 {
		f.bytes.Add(t.bytes)
	}
	*t = tally{}
}

func (c *counters) snapshot() Stats {
	return Stats{
		Handshakes: c.handshakes.Load(),
		Binds:      c.binds.Load(),
		Refused:    c.refused.Load(),
		Met:        c.met.Load(),
		Ended:      c.ended.Load(),
		Pings:      c.pings.Load(),
		Challenges: c.challenges.Load(),
		Moves:      c.moves.Load(),
		Hints:      c.hints.Load(),
		Describes:  c.describes.Load(),
		Expired:    c.expired.Load(),
		Goodbyes:   c.goodbyes.Load(),
		Malformed:  c.malformed.Load(),
		Unopened:   c.unopened.Load(),
		BadInits:   c.badInits.Load(),
		Limited:    c.limited.Load(),
		NoRoom:     c.noRoom.Load(),
		Overload:   c.overload.Load(),
		Unproven:   c.unproven.Load(),
		SendErrors: c.sendErrors.Load(),
	}
}

// add adds what became of packets.
func (s *Stats) add(f *fates) {
	s.Packets += f.packets[fateForwarded].Load()
	s.Bytes += f.bytes.Load()
	for _, d := range []struct {
		to   *uint64
		fate fate
	}{
		{&s.DropMalformed, fateMalformed}, {&s.DropUnknown, fateUnknown}, {&s.DropHalf, fateHalf},
		{&s.DropElsewhere, fateElsewhere}, {&s.DropRate, fateRate}, {&s.DropQuota, fateQuota},
		{&s.DropQueue, fateQueue}, {&s.DropLate, fateLate}, {&s.DropSend, fateSend},
	} {
		*d.to += f.packets[d.fate].Load()
	}
}
