package bdt

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/snclient"
)

const (
	// lookupTimeout bounds a question to one SN, coming online there included.
	lookupTimeout = 5 * time.Second
	// resolveTimeout bounds how long a policy waits for an owner's object.
	resolveTimeout = 3 * time.Second
	// staleAge is how old the last answer of an SN about an owner may be: beyond it a
	// policy waits for a new one, for there may be revocations.
	staleAge = 90 * time.Minute
	// eagerAge is how old it may be before the next device that is found to be of the
	// zone, or one that is let in on the strength of it, has the SNs asked again, in the
	// background.
	eagerAge = time.Minute
	// maxResolving bounds the callers that wait so at once: each holds a goroutine.
	maxResolving = 1024
)

// A search asks SNs for an owner's object. The fields below found may be read when
// it is closed.
type search struct {
	found chan struct{} // closed when the first SN has given it, or none will
	ended chan struct{} // closed when every SN has answered, or will not
	err   error         // why there is none; nil: it is in the book
}

// search asks SNs for an owner's object, or joins a search that is under way: those
// named, those of the configuration, and others where the stack is online. If
// patient is set, SNs are waited for that are not online yet.
func (s *Stack) search(id identity.ID, refs []identity.Ref, patient bool) *search {
	b := &s.book
	s.mu.Lock()
	defer s.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.ownerLocked(id)
	if e.search != nil {
		return e.search
	}
	q := &search{found: make(chan struct{}), ended: make(chan struct{})}
	if s.closed {
		q.err = ErrClosed
		close(q.found)
		close(q.ended)
		return q
	}
	sns := s.sourcesLocked(refs, patient)
	e.search = q
	s.workers.Go(func() { s.runSearch(q, id, sns) })
	return q
}

// sourcesLocked returns the SNs to ask for an owner.
func (s *Stack) sourcesLocked(refs []identity.Ref, patient bool) []*snclient.Client {
	var list []*snclient.Client
	for _, ref := range refs {
		if c := s.addSNLocked(ref); c != nil && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	for i, c := range s.sns {
		wanted := c.State() == snclient.Online || patient && i < len(s.cfg.SNs)
		if wanted && !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list
}

// runSearch asks all SNs at once. What later ones say is entered, too.
func (s *Stack) runSearch(q *search, id identity.ID, sns []*snclient.Client) {
	ctx, cancel := context.WithTimeout(s.ctx, lookupTimeout)
	defer cancel()
	var asking sync.WaitGroup
	var answered atomic.Bool
	var first sync.Once
	errs := make([]error, len(sns))
	for i, c := range sns {
		asking.Go(func() {
			_, errs[i] = s.askSN(ctx, c, id)
			if errs[i] == nil {
				first.Do(func() { close(q.found) })
			}
			if errs[i] == nil || errors.Is(errs[i], snclient.ErrNotFound) {
				answered.Store(true)
			}
		})
	}
	asking.Wait()
	first.Do(func() {
		q.err = searchError(errs)
		close(q.found)
	})
	s.book.searched(id, len(sns) > 0, answered.Load())
	close(q.ended)
}

// askSN asks one SN for an owner's object and enters it, if it is not older than
// the one in the book.
func (s *Stack) askSN(ctx context.Context, c *snclient.Client, id identity.ID) (*identity.People, error) {
	if err := c.WaitOnline(ctx); err != nil {
		return nil, err
	}
	o, err := c.Lookup(ctx, id)
	if err != nil {
		return nil, err
	}
	p, ok := o.(*identity.People)
	if !ok {
		return nil, errNotOwner
	}
	if err := s.takeOwner(p); err != nil && !errors.Is(err, identity.ErrRolledBack) {
		return nil, err
	}
	return p, nil
}

// searchError says why no SN has given an owner's object.
func searchError(errs []error) error {
	if len(errs) == 0 {
		return ErrNoRoute
	}
	for _, err := range errs {
		if errors.Is(err, snclient.ErrNotFound) {
			return ErrOwnerNotFound
		}
	}
	for _, err := range errs {
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, snclient.ErrOffline) && !errors.Is(err, snclient.ErrTimeout) {
			return snCause(err)
		}
	}
	return ErrOffline
}

// searched ends a search in the book. If there was nobody to ask it does not count.
func (b *book) searched(id identity.ID, asked, answered bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[id] // is not forgotten while it has a search
	e.search = nil
	if !asked {
		return
	}
	now := time.Now()
	e.tried = now
	if answered {
		e.checked = now
	}
	switch {
	case id == b.own(): // is looked after SN by SN
	case !b.pinnedLocked(id) && now.Sub(e.used) > usedLife:
		e.due = time.Time{}
	case answered:
		e.due = now.Add(refreshAfter())
	default:
		e.due = now.Add(retryAfter())
	}
	b.poke()
}

// refreshAfter and retryAfter are jittered, so that devices that came online
// together do not stay together.
func refreshAfter() time.Duration { return roughly(refreshEvery) }
func retryAfter() time.Duration   { return roughly(retryEvery) }

// roughly returns d, give or take a quarter.
func roughly(d time.Duration) time.Duration { return d*3/4 + jitter.N(d/2) }

// resolve has the book know an owner of whose zone a caller claims to be, as well
// as it can be known in resolveTimeout. It is done whatever service the caller has
// asked for, so that the time it takes tells nothing about that.
func (s *Stack) resolve(id identity.ID) {
	q := s.resolution(id)
	if q == nil {
		return
	}
	if s.resolving.Add(1) > maxResolving {
		s.resolving.Add(-1)
		return
	}
	defer s.resolving.Add(-1)
	timer := time.NewTimer(resolveTimeout)
	defer timer.Stop()
	select {
	case <-q.found:
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// resolution begins to resolve an owner; nil: there is nothing to be waited for.
func (s *Stack) resolution(id identity.ID) *search {
	now := time.Now()
	if id.IsZero() || !s.book.unresolved(id, now) {
		return nil
	}
	return s.search(id, nil, false)
}

// unresolved reports whether SNs are to be asked about an owner because of a
// caller, whom nobody here may know.
func (b *book) unresolved(id identity.ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.owners[id]
	switch {
	case e == nil:
	case e.search != nil:
		return true // join it
	case e.people != nil && now.Sub(e.checked) < staleAge, now.Sub(e.tried) < missLife:
		return false
	}
	return b.pinnedLocked(id) || b.asks.AllowN(now, 1)
}

// rely notes that a device was found to be of an owner's zone, which makes the
// owner worth keeping up with.
func (b *book) rely(id identity.ID, now time.Time) {
	b.mu.Lock()
	e := b.owners[id]
	if e == nil {
		b.mu.Unlock()
		return
	}
	e.used = now
	due := e.due
	switch {
	case now.Sub(e.checked) > eagerAge && now.Sub(e.tried) > missLife:
		e.due = now
	case e.due.IsZero() && id != b.own(): // which is looked after SN by SN
		e.due = now.Add(refreshAfter())
	}
	changed := e.due != due
	b.mu.Unlock()
	if changed {
		b.poke()
	}
}
