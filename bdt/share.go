package bdt

import (
	"maps"
	"slices"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
)

const (
	// callsHeard is how many calls without an initiation are taken up a second of
	// each SN. Each costs a signature check, an initiation, and packets to where the
	// SN says that the caller is.
	callsHeard = 50
	// forwardsHeard is how many initiations are taken a second of each SN: of maxSNs
	// together as many as the gate lets through, so that none takes another's.
	forwardsHeard = noise.DefaultBudget / maxSNs
)

// A share is what one SN may still have us do.
type share struct {
	calls    *rate.Limiter
	forwards *rate.Limiter
}

// share returns that of an SN.
func (d *demux) share(c *snclient.Client) *share {
	clients := d.stack.clients()
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.shares[c]
	if f == nil {
		maps.DeleteFunc(d.shares, func(c *snclient.Client, _ *share) bool { return !slices.Contains(clients, c) })
		f = &share{
			calls:    rate.NewLimiter(callsHeard, 2*callsHeard),
			forwards: rate.NewLimiter(forwardsHeard, 2*forwardsHeard),
		}
		d.shares[c] = f
	}
	return f
}
