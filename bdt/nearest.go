package bdt

import (
	"cmp"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snclient"
)

const (
	// nearer is how much less the round trip to another SN must be, beside a fifth, for
	// the device to name it first.
	nearer = 5 * time.Millisecond
	// renameGap is the least time between two such changes of the descriptor.
	renameGap = 10 * time.Minute
)

// nameNearest has the descriptor name the SNs of the configuration nearest first: callers
// ask them in that order, each a little after the one before. It is called by the monitor.
func (s *Stack) nameNearest(now time.Time, last *time.Time) {
	named := s.Device().SNs()
	order := nearestFirst(named, s.ownClients())
	if order == nil || !last.IsZero() && now.Sub(*last) < renameGap {
		return
	}
	old := s.Device()
	body := old.Body()
	body.SNs, body.Updated = order, old.NextUpdate(now)
	d, err := old.Update(s.secret, body)
	if err == nil {
		err = s.local.SetDevice(d)
	}
	if err != nil {
		s.log.Warn("the nearest super node is not named first", "err", err)
		return
	}
	*last = now
	s.log.Debug("super nodes named anew", "first", order[0].ID.Short())
	s.reregister()
}

// nearestFirst returns the SNs by their round trips, those that are not online behind the
// others, or nil if the first that is named is about as near as any.
func nearestFirst(named []identity.Ref, clients []*snclient.Client) []identity.Ref {
	far := func(r identity.Ref) time.Duration {
		for _, c := range clients {
			if c.Ref() == r && c.Online() && c.RTT() > 0 {
				return c.RTT()
			}
		}
		return time.Hour
	}
	if len(named) < 2 {
		return nil
	}
	order := slices.Clone(named)
	slices.SortStableFunc(order, func(a, b identity.Ref) int { return cmp.Compare(far(a), far(b)) })
	if first := far(named[0]); far(order[0]) > first*4/5 || far(order[0])+nearer > first {
		return nil
	}
	return order
}
