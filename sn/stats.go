package sn

import "sync/atomic"

// Stats are counters since the start, and sizes of the moment. They are read
// one by one: sums over them may be off by what happens meanwhile.
type Stats struct {
	Devices int // registered now
	Objects int // in the directory now, beside those of registered devices
	Calls   int // remembered now
	Pairs   int // that may signal now

	Handshakes  uint64 // initiations for which Diffie–Hellman was done
	Cookies     uint64 // answered by a cookie reply, under load
	Registers   uint64 // that took effect
	Superseded  uint64 // registrations replaced by another instance's
	Expired     uint64 // devices forgotten after silence
	Goodbyes    uint64 // devices that said that they go
	Pings       uint64
	CallsMade   uint64 // with status ok, without repeats
	CallsFailed uint64
	CallRepeats uint64 // answered from memory
	CalledSent  uint64 // announcements, with repeats
	Signals     uint64 // forwarded
	Lookups     uint64
	Publishes   uint64 // stored
	Challenges  uint64
	Moves       uint64 // challenges answered
	Hints       uint64
	Describes   uint64
	STUN        uint64 // answered
	SendErrors  uint64
	Restored    uint64 // devices taken over from an earlier run
	StateErrors uint64 // writes of the state file that failed

	Malformed   uint64 // packets and messages that do not parse
	Unopened    uint64 // Sealed packets that do not open: forged, replayed
	Refused     uint64 // initiations that prove nothing
	Limited     uint64 // over a rate
	NoRoom      uint64 // a table was full
	Overload    uint64 // dropped because the workers' queue was full
	Unproven    uint64 // messages from a device whose address is not proven yet
	NotEntitled uint64 // messages of devices that may not send them: not registered, no call between them
}

// counters are the parts of Stats that count.
type counters struct {
	handshakes, cookies, registers, superseded, expired, goodbyes, pings,
	callsMade, callsFailed, callRepeats, calledSent, signals, lookups, publishes,
	challenges, moves, hints, describes, stun, sendErrors, restored, stateErrors,
	malformed, unopened, refused, limited, noRoom, overload, unproven, notEntitled atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Handshakes:  c.handshakes.Load(),
		Cookies:     c.cookies.Load(),
		Registers:   c.registers.Load(),
		Superseded:  c.superseded.Load(),
		Expired:     c.expired.Load(),
		Goodbyes:    c.goodbyes.Load(),
		Pings:       c.pings.Load(),
		CallsMade:   c.callsMade.Load(),
		CallsFailed: c.callsFailed.Load(),
		CallRepeats: c.callRepeats.Load(),
		CalledSent:  c.calledSent.Load(),
		Signals:     c.signals.Load(),
		Lookups:     c.lookups.Load(),
		Publishes:   c.publishes.Load(),
		Challenges:  c.challenges.Load(),
		Moves:       c.moves.Load(),
		Hints:       c.hints.Load(),
		Describes:   c.describes.Load(),
		STUN:        c.stun.Load(),
		SendErrors:  c.sendErrors.Load(),
		Restored:    c.restored.Load(),
		StateErrors: c.stateErrors.Load(),
		Malformed:   c.malformed.Load(),
		Unopened:    c.unopened.Load(),
		Refused:     c.refused.Load(),
		Limited:     c.limited.Load(),
		NoRoom:      c.noRoom.Load(),
		Overload:    c.overload.Load(),
		Unproven:    c.unproven.Load(),
		NotEntitled: c.notEntitled.Load(),
	}
}
