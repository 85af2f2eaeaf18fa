package path

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Reason is why something was decided.
type Reason uint8

// The reasons.
const (
	none Reason = iota

	RefusedMalformed
	RefusedSpecial
	RefusedFamily
	RefusedOwn
	RefusedLoopback
	RefusedLinkLocal
	RefusedPrivate
	RefusedFull

	Told        // a candidate was named
	Heard       // an authenticated packet came from there
	Answered    // our probe was answered
	Unanswered  // the budget of knocks is used up
	SendRefused // the local network refused to send
	Kicked      // the owner asked for all paths to be tried

	NoReply   // data went unanswered
	Missed    // keepalive probes went unanswered
	TooLong   // packets of the engine's size do not arrive
	Elsewhere // the peer uses another path, though it knows this one

	First      // there was no other
	BetterKind // it is of a better kind
	LowerRTT   // it is faster
	Nominated  // the peer, whose choice counts, uses it
	Failover   // the path before it does not answer
	LinkGone   // the link before it was removed

	Expired // it is neither current nor standby, and silent
	GivenUp // it stayed dead
	Evicted // its place was needed
)

var reasonTexts = [...]string{
	none:             "",
	RefusedMalformed: "not an address with a port",
	RefusedSpecial:   "unspecified, multicast, broadcast or reserved",
	RefusedFamily:    "no link of its family",
	RefusedOwn:       "our own address",
	RefusedLoopback:  "loopback",
	RefusedLinkLocal: "link-local of another link",
	RefusedPrivate:   "private, and we share neither subnet nor public address",
	RefusedFull:      "too many",
	Told:             "told",
	Heard:            "the peer was heard from there",
	Answered:         "probe answered",
	Unanswered:       "no answer to any knock",
	SendRefused:      "sending failed here",
	Kicked:           "network changed or session woke",
	NoReply:          "data went unanswered",
	Missed:           "probes went unanswered",
	TooLong:          "packets of 1,200 bytes do not get through",
	Elsewhere:        "the peer uses another path",
	First:            "no other path yet",
	BetterKind:       "better kind",
	LowerRTT:         "lower round-trip time",
	Nominated:        "nominated by the peer",
	Failover:         "the path before does not answer",
	LinkGone:         "the link before is gone",
	Expired:          "not needed and silent",
	GivenUp:          "stayed dead",
	Evicted:          "its place was needed",
}

// String returns the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasonTexts) {
		return reasonTexts[r]
	}
	return "unknown"
}

// Event is what an entry of the record tells.
type Event uint8

// The events.
const (
	EventState     Event = iota + 1 // the path entered Entry.State
	EventRefused                    // the candidate is not used
	EventOpener                     // an Opener was sent
	EventSendError                  // the local network refused to send: Entry.Err
	EventUse                        // data goes over the path
	EventStandby                    // the path is the standby
	EventLink                       // a link was added
	EventUnlink                     // a link was removed
	EventDormant                    // no data for DormantAfter: probing ends
	EventWake                       // all is tried at once
	EventRecall                     // no path answers: the SN is asked
	EventLost                       // no path answered for LostAfter
)

var eventNames = [...]string{
	EventRefused: "refused", EventOpener: "opener sent", EventSendError: "send error", EventUse: "in use", EventStandby: "standby",
	EventLink: "link added", EventUnlink: "link removed", EventDormant: "dormant", EventWake: "wake",
	EventRecall: "recall", EventLost: "lost",
}

// An Entry is one line of the record (spec §7).
type Entry struct {
	Time   time.Time
	Event  Event
	Local  netip.AddrPort // as bound; zero if no link is concerned
	Remote netip.AddrPort // zero if no path is concerned
	State  State          // EventState
	Kind   Kind           // EventState, EventUse, EventStandby: as known then
	RTT    time.Duration  // EventState, EventUse, EventStandby: smoothed; 0: unknown
	Reason Reason
	Err    error // EventSendError
}

// String returns what happened to which path and why, without the time.
func (e Entry) String() string {
	var b strings.Builder
	if e.Remote.IsValid() {
		fmt.Fprintf(&b, "%v ", e.Remote)
	}
	if e.Local.IsValid() {
		fmt.Fprintf(&b, "over %v ", e.Local)
	}
	if e.Event == EventState {
		b.WriteString(e.State.String())
	} else {
		b.WriteString(eventNames[e.Event])
	}
	if e.Kind != 0 {
		fmt.Fprintf(&b, ", %v", e.Kind)
	}
	if e.RTT != 0 {
		fmt.Fprintf(&b, ", rtt %v", e.RTT.Round(10*time.Microsecond))
	}
	if e.Reason != none {
		fmt.Fprintf(&b, ": %v", e.Reason)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// log is a ring that grows up to maxLog entries.
type log struct {
	ring []Entry
	next int // where the oldest is, once the ring is full
	n    int // added, in all
}

func (l *log) add(e Entry) {
	l.n++
	if len(l.ring) < maxLog {
		l.ring = append(l.ring, e)
		return
	}
	l.ring[l.next] = e
	l.next = (l.next + 1) % maxLog
}

func (l *log) entries() []Entry {
	return slices.Concat(l.ring[l.next:], l.ring[:l.next])
}

// note records what happened to p, which may be nil.
func (s *Set) note(now time.Time, p *path, ev Event, why Reason) {
	e := Entry{Time: now, Event: ev, Reason: why}
	if p != nil {
		e.Local, e.Remote = p.link.Local, p.addr
		if ev == EventState || ev == EventUse || ev == EventStandby {
			e.State, e.Kind, e.RTT = p.state, p.kind, p.rtt.smoothed
		}
	}
	s.log.add(e)
}
