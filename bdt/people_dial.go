package bdt

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/peer"
)

const (
	// headStart is how long an owner's device is tried alone before the next one is,
	// too (as in RFC 8305 §5).
	headStart = 250 * time.Millisecond
	// preferEvery is how often a device that is named before the one in use is tried.
	preferEvery = time.Minute
)

// ownerSession returns a session with a device that answers for an owner: one that
// there is, or the first to be had of those that its object names, in their order.
// The object says whom to dial even when it has expired.
func (s *Stack) ownerSession(ctx context.Context, id identity.ID) (*streams, error) {
	outer := ctx
	if d := s.cfg.DialTimeout; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, ErrUnreachable)
		defer cancel()
	}
	ss, err := s.dialOwner(ctx, id)
	if err != nil && outer.Err() != nil {
		return nil, outer.Err()
	}
	return ss, err
}

// dialOwner dials by the owner's object at hand. Unless that is fresh a newer one is
// asked for at the same time, for devices come and go.
func (s *Stack) dialOwner(ctx context.Context, id identity.ID) (*streams, error) {
	r := race{stack: s, owner: id, hints: s.hints(id)}
	p := s.book.newest(id)
	if p != nil {
		if r.oods = s.others(p.OODs()); len(r.oods) > 0 {
			if i := slices.IndexFunc(r.oods, s.connected); i >= 0 {
				if ss, err := r.dial(ctx, r.oods[i]); err == nil {
					s.prefer(id, r.oods[:i], r.hints)
					return ss, nil
				}
			}
		}
	}
	var q *search
	if p == nil || !s.book.fresh(id) {
		q = s.search(id, r.hints.SNs, true)
	}
	ss, err := r.run(ctx, func() []identity.ID { return s.oods(id) }, q)
	if err != nil || ss != nil {
		return ss, err
	}
	switch p := s.book.newest(id); {
	case p == nil && q != nil && q.err != nil:
		return nil, q.err
	case p == nil: // found, and forgotten since: the book is full of owners that were used later
		return nil, ErrOwnerNotFound
	case len(p.OODs()) > 0:
		return nil, errSelf
	}
	return nil, ErrNoOOD
}

// oods returns the devices to dial for an owner: none if the book does not hold it.
func (s *Stack) oods(id identity.ID) []identity.ID {
	p := s.book.newest(id)
	if p == nil {
		return nil
	}
	return s.others(p.OODs())
}

// others returns the devices of a list that are not this one.
func (s *Stack) others(ids []identity.ID) []identity.ID {
	return slices.DeleteFunc(ids, func(id identity.ID) bool { return id == s.ID() })
}

// fresh reports whether an SN has said of late what it has of an owner.
func (b *book) fresh(id identity.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[id]
	return e != nil && time.Since(e.checked) < missLife
}

// connected reports whether there is a session with a device.
func (s *Stack) connected(id identity.ID) bool {
	s.mu.Lock()
	p := s.peers[id]
	s.mu.Unlock()
	return p != nil && p.Connected()
}

// hintsVia returns what tickets say about reaching a device, and what those for its
// owner add to that.
func (s *Stack) hintsVia(id identity.ID, owner peer.Hints) peer.Hints {
	h := s.hints(id)
	add := func(list, more []identity.Ref) []identity.Ref {
		for _, ref := range more {
			if !slices.Contains(list, ref) {
				list = append(slices.Clip(list), ref)
			}
		}
		return list
	}
	h.SNs = add(h.SNs, owner.SNs)
	h.Endpoints = append(slices.Clip(h.Endpoints), owner.Endpoints...)
	return h
}

// prefer tries devices in the background that an owner would rather have answer
// than the one that does. A later dial finds the session.
func (s *Stack) prefer(owner identity.ID, oods []identity.ID, hints peer.Hints) {
	if len(oods) == 0 || !s.book.mayPrefer(owner, time.Now()) {
		return
	}
	s.work(func() {
		ctx, cancel := context.WithTimeout(s.ctx, defaultDialTimeout)
		defer cancel()
		(&race{stack: s, owner: owner, hints: hints, oods: oods}).run(ctx, nil, nil)
	})
}

// mayPrefer reports whether it is time to try an owner's better devices.
func (b *book) mayPrefer(id identity.ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[id]
	if e == nil || now.Sub(e.preferred) < preferEvery {
		return false
	}
	e.preferred = now
	return true
}

// A race dials devices that answer for an owner one after the other, each with a
// head start before the next.
type race struct {
	stack   *Stack
	owner   identity.ID
	hints   peer.Hints    // what tickets say about the owner
	oods    []identity.ID // to be dialled, in this order
	results chan raceResult
	dialled []identity.ID
	running int
	failed  oodsError
}

type raceResult struct {
	id  identity.ID
	ss  *streams
	err error
}

// run returns the first session, and gives up the others. If a search for the
// owner's object is under way it goes on with what that brings: newest returns the
// devices then. It returns neither session nor error if there is none to dial.
func (r *race) run(ctx context.Context, newest func() []identity.ID, q *search) (*streams, error) {
	var found chan struct{}
	if q != nil {
		found = q.found
	}
	parent := ctx
	ctx, cancel := context.WithCancel(ctx)
	var dialling sync.WaitGroup
	defer dialling.Wait()
	defer cancel()
	r.results = make(chan raceResult, identity.MaxOODs)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if id, ok := r.next(); ok {
				r.dialled, r.running = append(r.dialled, id), r.running+1
				dialling.Go(func() {
					ss, err := r.dial(ctx, id)
					select {
					case r.results <- raceResult{id, ss, err}:
					case <-ctx.Done():
					}
				})
				timer.Reset(headStart)
			}
		case <-found:
			found = nil
			if q.err == nil {
				r.oods = newest()
			}
			if r.running == 0 {
				timer.Reset(0)
			}
		case res := <-r.results:
			r.running--
			if res.err == nil && slices.Contains(r.oods, res.id) {
				return res.ss, nil
			}
			if res.err != nil {
				r.failed = append(r.failed, oodError{res.id, res.err})
			}
			if r.running == 0 {
				timer.Reset(0)
			}
		case <-parent.Done():
			return nil, r.giveUp(context.Cause(parent))
		}
		if _, more := r.next(); !more && r.running == 0 && found == nil {
			return nil, r.failed.orNil()
		}
	}
}

// dial returns a session with a device that the owner names, if the device names the
// owner, too. Else whoever makes owners could have what is meant for one of his be done
// by another's device, with the rights that the caller has there.
func (r *race) dial(ctx context.Context, id identity.ID) (*streams, error) {
	ss, err := r.stack.deviceSession(ctx, id, r.stack.hintsVia(id, r.hints))
	if err == nil && ss.device.Owner() != r.owner {
		return nil, ErrNotOOD
	}
	return ss, err
}

// giveUp returns why there is no session when time is up.
func (r *race) giveUp(cause error) error {
	failed := func(id identity.ID) bool {
		return slices.ContainsFunc(r.failed, func(o oodError) bool { return o.id == id })
	}
	for _, id := range r.dialled {
		if !failed(id) {
			r.failed = append(r.failed, oodError{id, cause})
		}
	}
	return cmp.Or(r.failed.orNil(), cause)
}

// next returns the device to dial next.
func (r *race) next() (identity.ID, bool) {
	for _, id := range r.oods {
		if !slices.Contains(r.dialled, id) {
			return id, true
		}
	}
	return identity.ID{}, false
}

// An oodsError is an owner none of whose devices could be dialled. It is every
// cause of it.
type oodsError []oodError

// An oodError is why a device could not be dialled.
type oodError struct {
	id  identity.ID
	err error
}

// orNil is e as an error, nil if it is empty.
func (e oodsError) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func (e oodError) Error() string { return fmt.Sprintf("%s: %v", e.id.Short(), e.err) }

// Error names each device, and why it could not be dialled.
func (e oodsError) Error() string {
	texts := make([]string, 0, len(e))
	for _, o := range e {
		texts = append(texts, o.Error())
	}
	if len(texts) == 1 {
		return "the owner's device cannot be dialled: " + texts[0]
	}
	return fmt.Sprintf("none of the owner's %d devices can be dialled: %s", len(e), strings.Join(texts, "; "))
}

// Unwrap returns the causes.
func (e oodsError) Unwrap() []error {
	errs := make([]error, 0, len(e))
	for _, o := range e {
		errs = append(errs, o.err)
	}
	return errs
}
