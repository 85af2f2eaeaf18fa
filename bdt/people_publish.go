package bdt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snclient"
)

// FindOwner asks the SNs for an owner's object, waits for those of the
// configuration, and returns the newest version seen, here or there. It need not
// be current: see identity.People.Member.
func (s *Stack) FindOwner(ctx context.Context, id identity.ID) (*identity.People, error) {
	if id.Type() != identity.TypePeople {
		return nil, &OpError{Op: "find owner", Peer: id, Err: errNotOwner}
	}
	q := s.search(id, s.hints(id).SNs, true)
	select {
	case <-q.ended:
	case <-ctx.Done():
		return nil, &OpError{Op: "find owner", Peer: id, Err: ctx.Err()}
	}
	if p := s.book.newest(id); p != nil {
		return p, nil
	}
	return nil, &OpError{Op: "find owner", Peer: id, Err: q.err}
}

// PublishOwner publishes an owner's object at all SNs of the configuration, where
// it is kept for a day. A device does this by itself for its own owner; for
// another any device may, for the object is signed. The error names each SN that
// has not taken it; it is identity.ErrRolledBack where there is a newer version.
func (s *Stack) PublishOwner(ctx context.Context, p *identity.People) error {
	if p == nil {
		return &OpError{Op: "publish owner", Err: errNotOwner}
	}
	clients := s.ownClients()
	errs := make([]error, len(clients))
	if len(clients) == 0 {
		errs = []error{ErrNoRoute}
	}
	var publishing sync.WaitGroup
	for i, c := range clients {
		publishing.Go(func() { errs[i] = publishAt(ctx, c, p) })
	}
	publishing.Wait()
	if err := errors.Join(errs...); err != nil {
		return &OpError{Op: "publish owner", Peer: p.ID(), Err: err}
	}
	return nil
}

// publishAt publishes an object at one SN.
func publishAt(ctx context.Context, c *snclient.Client, p *identity.People) error {
	err := c.WaitOnline(ctx)
	if err == nil {
		err = c.Publish(ctx, p)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, snclient.ErrTooOld):
		err = fmt.Errorf("it holds a newer version: %w", identity.ErrRolledBack)
	}
	return fmt.Errorf("super node %s: %w", c.Ref().ID.Short(), snCause(err))
}
