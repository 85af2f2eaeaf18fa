package netsim

// A GilbertElliott is loss that comes in bursts (Gilbert 1960, Elliott 1963): a flow
// is in a good or a bad state on each link, and may change it with every packet.
// The share of time in the bad state is P/(P+R), and its mean length 1/R packets. The
// first packet of a flow finds either state with that share.
type GilbertElliott struct {
	P        float64 // probability of going from good to bad at a packet
	R        float64 // of going from bad to good
	LossGood float64 // probability of loss in the good state; Gilbert's model: 0
	LossBad  float64 // in the bad state
}

// check refuses what makes no sense.
func (g *GilbertElliott) check() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"burst P", g.P}, {"burst R", g.R}, {"loss in the good state", g.LossGood}, {"loss in the bad state", g.LossBad}} {
		if err := probability(p.name, p.value); err != nil {
			return err
		}
	}
	return nil
}

// What a packet's draw is hashed with for each decision. Numbers are never reused.
const (
	drawLoss       = 1
	drawJitter     = 2
	drawBurstState = 3
	drawBurstLoss  = 4
	drawReorder    = 5
	drawDuplicate  = 6
	drawCorrupt    = 7
	drawUndetected = 8
	drawBit        = 9
)

// random reports whether a packet meets a random decision.
func (c *LinkConfig) random() bool {
	return c.Loss > 0 || c.Jitter > 0 || c.Burst != nil || c.Reorder > 0 || c.Duplicate > 0 || c.Corrupt > 0
}

// maxFlows bounds the flows that a pipe remembers.
const maxFlows = 1 << 16

// A flow is what a pipe remembers of one.
type flow struct {
	ordinal uint64 // of the next packet whose fate is drawn
	bad     bool   // state of the bursts
	known   bool   // bad is
}

// A decision is what is drawn when a packet is admitted.
type decision struct {
	draw  uint64 // decides the rest
	burst bool   // lost in a burst
}

// draw returns the number that decides the fate of the next packet of a flow, and
// moves the flow's bursts on.
func (pi *pipe) draw(id uint64) (d decision) {
	f := pi.flows[id]
	if f == nil {
		if len(pi.flows) >= maxFlows {
			clear(pi.flows)
			pi.epoch++
		}
		if pi.flows == nil {
			pi.flows = make(map[uint64]*flow)
		}
		f = new(flow)
		pi.flows[id] = f
	}
	d.draw = mix(pi.link.net.cfg.Seed, pi.id, pi.epoch, id, f.ordinal)
	f.ordinal++
	if g := pi.cfg.Burst; g != nil {
		d.burst = f.burst(g, d.draw)
	}
	return d
}

// burst moves the state on and reports whether the packet is lost.
func (f *flow) burst(g *GilbertElliott, draw uint64) bool {
	u := unit(mix(draw, drawBurstState))
	switch {
	case !f.known:
		f.known = true
		f.bad = u*(g.P+g.R) < g.P
	case f.bad:
		f.bad = u >= g.R
	default:
		f.bad = u < g.P
	}
	loss := g.LossGood
	if f.bad {
		loss = g.LossBad
	}
	return unit(mix(draw, drawBurstLoss)) < loss
}
