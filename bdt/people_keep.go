package bdt

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/snclient"
)

const (
	// refreshEvery is how often SNs are asked for newer versions, give or take a
	// quarter. While a session relies on an owner's word they are asked after eagerAge,
	// and so when another device begins to: that is how long a revoked one may
	// go on at most.
	refreshEvery = time.Hour
	// retryEvery is how soon an SN that did not answer is asked again, give or take
	// a quarter.
	retryEvery = 2 * time.Minute
	// publishEvery is how often the own owner's object is published again: an SN
	// keeps it for 24 hours (docs/spec/sn.md §4).
	publishEvery = 8 * time.Hour
	// returnSpread is the time over which devices publish that have all come back
	// to an SN at once, because it was restarted.
	returnSpread = 10 * time.Second
	// usedLife is how long after the last device of a zone its owner is kept up with.
	usedLife = 2 * time.Hour
	// searchesAtOnce bounds the owners of friends that are asked for at once.
	searchesAtOnce = 8
	// expirySoon is how long before the own owner's object expires that is said.
	expirySoon = 7 * 24 * time.Hour
)

// A keeper keeps the book up to date: it publishes the own owner's object at every
// SN where the stack is online, and asks there for newer versions of it and of
// other owners that matter. It belongs to one goroutine.
type keeper struct {
	stack  *Stack
	warned uint64 // version of the own owner's object of which it was said that it expires
}

// A post is an SN where the stack is online, as the keeper sees it.
type post struct {
	due       time.Time // when the own owner is looked after there
	version   uint64    // of the own owner's object that the SN has; 0: not known
	published time.Time // when it was published there last; zero: never
	admission uint64    // that was looked after: a later one may be at a server that has forgotten
}

// keepOwners is the keeper, until the stack is closed.
func (s *Stack) keepOwners() {
	k := keeper{stack: s}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.book.wake:
		case <-s.ctx.Done():
			return
		}
		if next := k.tend(time.Now()); next.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(next))
		}
	}
}

// tend does what is due, and returns when it is to be called next; zero: when it
// is woken.
func (k *keeper) tend(now time.Time) time.Time {
	k.warn(now)
	var work sync.WaitGroup
	posts, others, _ := k.stack.book.due(now, k.stack.Online())
	for _, c := range posts {
		work.Go(func() { k.stack.syncOwner(c) })
	}
	for _, id := range others[:min(len(others), searchesAtOnce)] {
		q := k.stack.search(id, k.stack.hints(id).SNs, false)
		work.Go(func() { <-q.ended })
	}
	work.Wait()
	_, _, next := k.stack.book.due(time.Now(), k.stack.Online())
	return next
}

// due returns the SNs at which the own owner is to be looked after now, the other
// owners that are to be asked for if there is an SN to ask, and when there is
// something to do next.
func (b *book) due(now time.Time, online bool) (posts []*snclient.Client, others []identity.ID, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	plan := func(at time.Time) bool {
		if at.IsZero() || !at.After(now) {
			return !at.IsZero()
		}
		if next.IsZero() || at.Before(next) {
			next = at
		}
		return false
	}
	hasten := false
	for id, e := range b.owners {
		switch {
		case !plan(e.due):
		case id == b.own():
			hasten = true
			e.due = time.Time{}
		case e.search == nil && online:
			others = append(others, id)
		}
	}
	for c, p := range b.posts {
		if c.State() == snclient.Closed {
			delete(b.posts, c)
			continue
		}
		if hasten {
			p.due = now
		}
		if plan(p.due) && c.State() == snclient.Online {
			posts = append(posts, c)
		}
	}
	if len(posts)+len(others) > 0 {
		next = now
	}
	return posts, others, next
}

// arrived notes that the stack is online at an SN, perhaps once more: what the SN
// knew may be lost.
func (b *book) arrived(c *snclient.Client) {
	b.mu.Lock()
	p := b.posts[c]
	if b.own().IsZero() {
		// There is nothing to publish, but others to ask for.
	} else if p == nil {
		b.posts[c] = &post{due: time.Now()}
	} else {
		p.hasten()
	}
	b.mu.Unlock()
	b.poke()
}

// hasten has an SN looked after soon.
func (p *post) hasten() {
	if soon := time.Now().Add(jitter.N(returnSpread)); soon.Before(p.due) {
		p.due = soon
	}
}

// readmitted has the SNs looked after that have had to take the device in anew
// without its having been offline.
func (b *book) readmitted() {
	b.mu.Lock()
	for c, p := range b.posts {
		if c.Admissions() != p.admission {
			p.hasten()
		}
	}
	b.mu.Unlock()
	b.poke()
}

// announce has a new version of the own owner's object published.
func (b *book) announce(p *identity.People) {
	b.mu.Lock()
	for _, at := range b.posts {
		if at.version < p.Updated() {
			at.due = time.Now()
		}
	}
	b.mu.Unlock()
	b.poke()
}

// syncOwner makes the stack and an SN hold the same version of the own owner's
// object, the newer of both.
func (s *Stack) syncOwner(c *snclient.Client) {
	ctx, cancel := context.WithTimeout(s.ctx, lookupTimeout)
	defer cancel()
	own := s.book.own()
	admission := c.Admissions()
	there, err := s.askSN(ctx, c, own)
	if err == nil || errors.Is(err, snclient.ErrNotFound) {
		err = s.publishOwner(ctx, c, there)
	}
	if errors.Is(err, snclient.ErrTooOld) {
		_, err = s.askSN(ctx, c, own) // somebody has published a newer one meanwhile
	}
	switch {
	case errors.Is(err, identity.ErrTooLarge):
		s.log.Warn("the owner's object is too large for a super node", "owner", own.Short(), "err", err)
		err = nil // asking again does not help
	case err != nil:
		s.log.Debug("owner is not up to date at a super node", "sn", c.Ref().ID.Short(), "err", err)
	}
	s.book.synced(c, admission, err == nil)
}

// publishOwner publishes the own owner's object, unless it is there and will be for
// long enough.
func (s *Stack) publishOwner(ctx context.Context, c *snclient.Client, there *identity.People) error {
	p := s.Owner()
	if p == nil || s.book.published(c, p, there) {
		return nil
	}
	if err := c.Publish(ctx, p); err != nil {
		return err
	}
	s.book.note(c, func(at *post) { at.version, at.published = p.Updated(), time.Now() })
	return nil
}

// published reports whether what is at an SN needs no publishing.
func (b *book) published(c *snclient.Client, p, there *identity.People) (yes bool) {
	b.note(c, func(at *post) {
		if there != nil && there.Updated() == p.Updated() {
			at.version = p.Updated()
			yes = time.Since(at.published) < publishEvery
		}
	})
	return yes
}

// synced notes when an SN is to be looked after again.
func (b *book) synced(c *snclient.Client, admission uint64, ok bool) {
	b.note(c, func(at *post) {
		at.admission = admission
		now := time.Now()
		e := b.ownerLocked(b.own())
		e.tried = now
		if !ok {
			at.due = now.Add(retryAfter())
			return
		}
		e.checked = now
		at.due = now.Add(refreshAfter())
		if e.people != nil && at.version < e.people.Updated() {
			at.due = now // a newer one has come meanwhile, and this SN may not have it
		}
	})
}

// note changes what is known of an SN, with the book locked.
func (b *book) note(c *snclient.Client, change func(*post)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.posts[c]; at != nil {
		change(at)
	}
}

// warn says once that the own owner's object expires.
func (k *keeper) warn(now time.Time) {
	p := k.stack.Owner()
	if p == nil || p.Updated() == k.warned || p.ValidUntil().Sub(now) > expirySoon {
		return
	}
	k.warned = p.Updated()
	k.stack.log.Warn("the owner's object expires, and then admits nobody: renew it",
		"owner", p.ID().Short(), "valid until", p.ValidUntil())
}

// takeOwner enters a version of an owner's object. If it is a newer one it takes
// effect: on sessions, in the file, and at the SNs.
func (s *Stack) takeOwner(p *identity.People) error {
	before, err := s.book.take(p)
	if err != nil || before == p {
		return err
	}
	if p.ID() == s.book.own() {
		s.log.Info("owner", "owner", p.ID().Short(), "version", p.Updated(), "valid until", p.ValidUntil(), "revoked", len(p.Body().Revoked))
		if p.Revoked(s.ID()) {
			s.log.Warn("the owner has revoked this device")
		}
		if err := s.book.save(); err != nil {
			s.log.Warn("the owner's object is not kept: an older one may come back with the next start", "err", err)
		}
		s.book.announce(p)
	}
	s.enforce(p, before)
	return nil
}

// enforce ends the sessions that a new version of an owner's object takes the
// ground from: those with devices that it has newly revoked, and those in which a
// policy has relied on a membership that is no more.
func (s *Stack) enforce(p, before *identity.People) {
	for _, ss := range s.sessionsOf(p.ID()) {
		id := ss.device.ID()
		if p.Revoked(id) && (before == nil || !before.Revoked(id)) || s.outlived(ss) {
			s.revoke(ss)
		}
	}
}

// outlived reports whether a policy has let a session's device in as a member of a
// zone that it is no member of now.
func (s *Stack) outlived(ss *streams) bool {
	relied := ss.relied.Load()
	switch {
	case relied == nil:
		return false
	case relied.ID() == s.book.own():
		return !s.book.inOwnZone(ss.device)
	}
	// The book may have had to forget the owner.
	p := cmp.Or(s.book.newest(relied.ID()), relied)
	return p.Member(ss.device, time.Now()) != nil
}

// sessionsOf returns the sessions with devices that name an owner; the zero id
// stands for any.
func (s *Stack) sessionsOf(owner identity.ID) []*streams {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*streams
	for _, ss := range s.sessions {
		if o := ss.device.Owner(); o == owner || owner.IsZero() && !o.IsZero() {
			list = append(list, ss)
		}
	}
	return list
}

// dropOutlived ends the sessions whose devices were let in by an owner's word that
// counts no more, because it has expired, and keeps up with the owners of the
// others.
func (s *Stack) dropOutlived() {
	now := time.Now()
	for _, ss := range s.sessionsOf(identity.ID{}) {
		if s.outlived(ss) {
			s.revoke(ss)
		} else if relied := ss.relied.Load(); relied != nil {
			s.book.rely(relied.ID(), now)
		}
	}
}

// revoke ends a session, and says why at both ends.
func (s *Stack) revoke(ss *streams) {
	ss.end(ErrRevoked)
	s.log.Info("session revoked", "peer", ss.device.ID().Short())
	s.work(func() { ss.session.Close(closeDenied, "no longer admitted") })
}
