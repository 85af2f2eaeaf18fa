package netsim

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// lost sends count packets of one flow and returns which of them are lost, without a
// receiver: the link's own statistics tell.
func lost(t *testing.T, seed uint64, cfg LinkConfig, count int) (which []bool) {
	simulate(t, func(t *testing.T, n *Network) {
		n.cfg.Seed = seed
		p := newPair(t, n, cfg)
		n.Trace(func(e Event) {
			if e.Node == "z" || e.Fate == DropLoss {
				which = append(which, e.Fate == DropLoss)
			}
		})
		for range count {
			p.up("")
			time.Sleep(time.Millisecond)
			p.z.drain()
		}
		settle()
	})
	if len(which) != count {
		t.Fatalf("%d fates of %d packets", len(which), count)
	}
	return which
}

// runs returns the lengths of the runs of losses.
func runs(which []bool) (lengths []int) {
	for i, l := range which {
		switch {
		case !l:
		case i > 0 && which[i-1]:
			lengths[len(lengths)-1]++
		default:
			lengths = append(lengths, 1)
		}
	}
	return lengths
}

// TestBurstPacketByPacket: chains that leave nothing to chance.
func TestBurstPacketByPacket(t *testing.T) {
	word := func(which []bool) (s string) {
		for _, l := range which {
			s += map[bool]string{true: "x", false: "."}[l]
		}
		return s
	}
	for _, c := range []struct {
		g    GilbertElliott
		want []string // any of them, by the state of the start
	}{
		{GilbertElliott{P: 1, R: 1, LossBad: 1}, []string{".x.x.x.x", "x.x.x.x."}},
		{GilbertElliott{P: 1, R: 1, LossGood: 1}, []string{".x.x.x.x", "x.x.x.x."}},
		{GilbertElliott{P: 1, R: 0, LossBad: 1}, []string{"xxxxxxxx"}},
		{GilbertElliott{P: 0, R: 1, LossBad: 1}, []string{"........"}},
		{GilbertElliott{P: 0, R: 0, LossBad: 1}, []string{"........"}},
		{GilbertElliott{P: 0.5, R: 0.5, LossBad: 1, LossGood: 1}, []string{"xxxxxxxx"}},
		{GilbertElliott{P: 0.5, R: 0.5}, []string{"........"}},
	} {
		if got := word(lost(t, 1, LinkConfig{Burst: &c.g}, 8)); !slices.Contains(c.want, got) {
			t.Errorf("%+v: %s", c.g, got)
		}
	}
}

// TestBurstDistribution holds the losses against the theory, within five standard
// deviations, and their number exactly, as the seed decides it. With the share
// π = P/(P+R) of packets in the bad state, and r = 1-P-R the correlation from one packet
// to the next, the share of the lost over N packets has the variance
// π(1-π)/N · (1+r)/(1-r). A burst has the mean length 1/R and the variance (1-R)/R².
func TestBurstDistribution(t *testing.T) {
	const count = 20000
	g := GilbertElliott{P: 0.01, R: 0.25, LossBad: 1}
	which := lost(t, 7, LinkConfig{Burst: &g}, count)
	lengths := runs(which)
	total := 0
	for _, l := range lengths {
		total += l
	}
	if total != 738 || len(lengths) != 172 {
		t.Errorf("%d lost in %d bursts: not what this seed gave before", total, len(lengths))
	}
	share := g.P / (g.P + g.R)
	r := 1 - g.P - g.R
	deviation := math.Sqrt(share * (1 - share) / count * (1 + r) / (1 - r))
	if got := float64(total) / count; math.Abs(got-share) > 5*deviation {
		t.Errorf("share of loss %.4f, want %.4f ± %.4f", got, share, deviation)
	}
	mean, deviation := 1/g.R, math.Sqrt((1-g.R)/(g.R*g.R)/float64(len(lengths)))
	if got := float64(total) / float64(len(lengths)); math.Abs(got-mean) > 5*deviation {
		t.Errorf("mean length %.3f, want %.3f ± %.3f", got, mean, deviation)
	}
	// Random loss of the same share comes in runs of 1/(1-share), one or two packets.
	single := runs(lost(t, 7, LinkConfig{Loss: share}, count))
	if longest := slices.Max(single); longest >= slices.Max(lengths) {
		t.Errorf("random loss has runs of %d, bursts %d", longest, slices.Max(lengths))
	}
}

// TestBurstFindsFirstPackets: a flow of one packet meets the bad state as often as any.
func TestBurstFindsFirstPackets(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		const count = 4000
		g := GilbertElliott{P: 0.1, R: 0.3, LossBad: 1}
		p := newPair(t, n, LinkConfig{Burst: &g})
		for i := range count {
			p.a.send(addr(fmt.Sprintf("198.51.100.2:%d", 1000+i)), "")
		}
		settle()
		// A quarter, with a deviation of √(¼·¾/4000) = 0.7 %.
		up, _ := p.link.Stats()
		if got := float64(up.Packets[DropLoss]) / count; math.Abs(got-0.25) > 5*0.007 {
			t.Errorf("%.3f of first packets are lost", got)
		}
	})
}

// TestBurstIsOfAFlow: another flow moves only its own state on.
func TestBurstIsOfAFlow(t *testing.T) {
	run := func(others int) (fates []Fate) {
		simulate(t, func(t *testing.T, n *Network) {
			p := newPair(t, n, LinkConfig{Burst: &GilbertElliott{P: 0.2, R: 0.3, LossBad: 0.9, LossGood: 0.1}})
			n.Trace(func(e Event) {
				if e.Dst == addr("198.51.100.2:2") && e.Fate != Sent {
					fates = append(fates, e.Fate)
				}
			})
			for range 300 {
				for range others {
					p.a.send(addr("198.51.100.2:9"), "")
				}
				p.up("")
				time.Sleep(time.Millisecond)
			}
			settle()
		})
		return fates
	}
	if alone := run(0); len(alone) != 300 || !slices.Equal(alone, run(3)) {
		t.Errorf("%d fates, or others change them", len(alone))
	}
}
