package peer

import (
	"log/slog"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/session"
)

// State is where a peer is, for people.
type State uint8

// The states.
const (
	Idle       State = iota // nothing is known to be there
	Connecting              // an attempt or a handshake is under way
	Connected               // there is a session
)

// String returns the name of the state.
func (s State) String() string {
	return [...]string{"idle", "connecting", "connected"}[s]
}

// A Status is a snapshot of a peer. It is immutable.
type Status struct {
	State     State
	Device    *identity.Device // nil: not known
	Session   session.Session  // nil: none
	Client    bool             // we dialled the session
	Current   *path.Info       // where data goes; nil: nowhere
	IdleSince time.Time        // zero: not idle
	Unproven  bool             // its keys are not confirmed, and nobody here wants it
}

// Status returns the latest snapshot. It does not wait for the owner.
func (p *Peer) Status() Status { return *p.status.Load() }

// Quiet returns for how long the session has carried nothing; 0 if there is none.
func (p *Peer) Quiet() time.Duration {
	c := p.live.Load()
	if c == nil {
		return 0
	}
	return time.Duration(c.lane.now() - max(c.lane.sent.Load(), c.lane.received.Load()))
}

// publish makes the snapshot that Status returns, if it has changed.
func (p *Peer) publish() {
	st := Status{Device: p.device, IdleSince: p.idleSince, Unproven: p.current == nil && p.attempt == nil}
	switch {
	case p.live.Load() != nil:
		c := p.live.Load()
		st.State, st.Session, st.Client = Connected, c.session, c.client
	case p.idleSince.IsZero():
		st.State = Connecting
	}
	if info, ok := p.paths.Current(); ok {
		st.Current = &info
	}
	p.status.Store(&st)
}

// An Entry is one line of a peer's record.
type Entry struct {
	Time time.Time
	Text string
}

// Explain returns all paths, and the record of what was tried, what won and
// why, oldest first. It asks the owner.
func (p *Peer) Explain() (paths []path.Info, lines []Entry) {
	done := make(chan struct{})
	ask := func(time.Time) {
		paths, lines = p.paths.Paths(), p.lines()
		close(done)
	}
	select {
	case p.inbox <- ask:
	case <-p.stopped:
		return nil, nil
	}
	select {
	case <-done:
		return paths, lines
	case <-p.stopped:
		return nil, nil
	}
}

// lines returns the records of the peer and of its paths in the order of time.
func (p *Peer) lines() []Entry {
	lines := p.record.entries()
	for _, e := range p.paths.Log() {
		lines = append(lines, Entry{e.Time, e.String()})
	}
	slices.SortStableFunc(lines, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	return lines
}

// note adds a line to the peer's record.
func (p *Peer) note(now time.Time, text string) {
	p.record.add(now, text)
	p.log.Debug("peer", "event", text)
}

// logPaths logs what is new in the record of the paths.
func (p *Peer) logPaths() {
	if !p.log.Enabled(p.ctx, slog.LevelDebug) {
		return
	}
	var lines []path.Entry
	lines, p.logged = p.paths.LogSince(p.logged)
	for _, e := range lines {
		p.log.Debug("path", "event", e.String())
	}
}

// maxRecord bounds the record of handshakes and calls, beside that of the paths.
const maxRecord = 64

// A record is the last lines of what happened.
type record struct{ lines []Entry }

func (r *record) add(now time.Time, text string) {
	if len(r.lines) == maxRecord {
		r.lines = append(r.lines[:0], r.lines[1:]...)
	}
	r.lines = append(r.lines, Entry{now, text})
}

func (r *record) entries() []Entry { return slices.Clone(r.lines) }
