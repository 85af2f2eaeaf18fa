package path

import (
	"io"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// Config configures a Set.
type Config struct {
	Rand io.Reader // of probe tokens and jitter; nil: crypto/rand
}

// Stage is what the owner can send: it decides what a knock is (spec §3).
type Stage uint8

// The stages.
const (
	// Waiting: nothing can be sent. Candidates are kept.
	Waiting Stage = iota
	// Calling: an Initiation is pending. Knocks carry it, to every candidate, to
	// the current path and to the standby.
	Calling
	// Answering: a Response is pending and its keys are tentative. Knocks carry it
	// to the SN-observed address and the sources of the initiation; other
	// candidates get probes.
	Answering
	// Sealed: the keys are confirmed. Knocks are probes.
	Sealed
)

// A Set is the paths to one peer.
type Set struct {
}

// New returns an empty Set in stage Waiting.
func New(c Config) *Set { return &Set{} }

// AddLink adds a link, and for a link that is not UDP its path. A link that is
// known already is updated: its Prefixes may have changed.
func (s *Set) AddLink(now time.Time, li LinkInfo) {}

// RemoveLink forgets a link and its paths.
func (s *Set) RemoveLink(now time.Time, l Link) {}

// SetShared says whether both ends are seen at one public address. If so, private
// candidates are used (spec §2).
func (s *Set) SetShared(now time.Time, shared bool) {}

// SetNominator says whether we are the client of the session, whose choice of path
// both ends follow (spec §5).
func (s *Set) SetNominator(now time.Time, nominator bool) {}

// SetLocalCandidates says where we are reachable ourselves, beside the addresses of
// the links: it tells a path through an address that was set by the operator, or a port
// mapping, from a punched one.
func (s *Set) SetLocalCandidates(list []wire.Candidate) {}

// SetStage says what can be sent from now on. Valid paths stay valid through
// Calling and Answering, as in a rekey or after a restart of the peer: the owner
// seals probes with the keys it has, and drops them if it has none. When a
// packet changes the stage and has a source, SetStage comes before HandleSource.
func (s *Set) SetStage(now time.Time, st Stage) {}

// AddCandidate adds a place to try. What is refused (spec §2) is in the record.
func (s *Set) AddCandidate(now time.Time, c Candidate) {}

// HandleProbe handles an opened Probe.
func (s *Set) HandleProbe(now time.Time, l Link, from netip.AddrPort, p wire.Probe) {}

// HandleReply handles an opened ProbeReply.
func (s *Set) HandleReply(now time.Time, l Link, from netip.AddrPort, r wire.ProbeReply) {}

// HandleSource handles the source of another authenticated packet: a sealed message, or
// (sealed false) an Initiation or Response that was accepted, including duplicates.
func (s *Set) HandleSource(now time.Time, l Link, from netip.AddrPort, sealed bool) {}

// Traffic is what the data plane knows of its packets.
type Traffic struct {
	LastSent     time.Time
	LastReceived time.Time
}

// Traffic tells what the data plane has seen. The owner calls it before Poll, at
// least every 50 ms while data flows. It does not allocate.
func (s *Set) Traffic(now time.Time, t Traffic) {}

// SendFailed says that the local network refused to send to addr, as when there is
// no route: a strong hint that the path is gone. Whoever hears of the refusal of one
// datagram for its size does not call it.
func (s *Set) SendFailed(now time.Time, l Link, addr netip.AddrPort, err error) {}

// Kick has all paths tried at once: the interfaces changed, the machine was
// suspended, or a dormant session has something to say.
func (s *Set) Kick(now time.Time) {}

// Poll does what is due and returns what to do, in order. The slice is valid
// until the next call of Poll.
func (s *Set) Poll(now time.Time) []Action { return nil }

// Next returns when Poll is due, at the latest; zero if nothing is planned. After an
// event it may be now. It does not allocate.
func (s *Set) Next() time.Time { return time.Time{} }

// Current returns the path that data uses.
func (s *Set) Current() (Info, bool) { return Info{}, false }

// Paths returns all paths, the current first, then the standby, then by kind and RTT.
func (s *Set) Paths() []Info { return nil }

// Log returns the record, oldest first.
func (s *Set) Log() []Entry { return nil }
