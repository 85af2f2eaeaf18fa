package netsim

import (
	"math"
	"strings"
	"testing"
	"time"
)

// TestAsymmetric tells the two directions apart, in all that they have.
func TestAsymmetric(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{Delay: 10 * time.Millisecond, MTU: 1000, Down: &LinkConfig{Delay: 30 * time.Millisecond, Rate: 8000}})
		took := func(from, to *peer, size int) time.Duration {
			t.Helper()
			start := time.Now()
			from.send(to.conn.LocalAddr(), strings.Repeat("x", size-28))
			<-to.got
			return time.Since(start)
		}
		if d := took(p.a, p.z, 1000); d != 10*time.Millisecond {
			t.Errorf("up takes %v", d)
		}
		if d := took(p.z, p.a, 1000); d != 1030*time.Millisecond { // the same MTU
			t.Errorf("down takes %v", d)
		}
		// The setters are of both directions, Set is of each.
		p.link.SetDelay(time.Millisecond)
		if d := took(p.z, p.a, 100); d != 101*time.Millisecond {
			t.Errorf("down takes %v", d)
		}
		if err := p.link.Set(LinkConfig{Delay: 2 * time.Millisecond, Down: &LinkConfig{Loss: 1, MTU: 100}}); err != nil {
			t.Fatal(err)
		}
		if d := took(p.a, p.z, 1500); d != 2*time.Millisecond {
			t.Errorf("up takes %v", d)
		}
		p.z.send(p.a.conn.LocalAddr(), "lost")
		p.a.wantNone()
		up, down := p.a.conn.(*socket).host, p.z.conn.(*socket).host
		for h, want := range map[*Host]int{up: 1500, down: 100} { // each what it can send
			if ifs, err := h.Interfaces(); err != nil || ifs[1].MTU != want {
				t.Errorf("%s: %+v, %v", h.Name(), ifs, err)
			}
		}
		if err := p.link.Set(LinkConfig{}); err != nil { // alike again
			t.Fatal(err)
		}
		p.z.send(p.a.conn.LocalAddr(), "found")
		p.a.want("found")
	})
}

// TestSetRefuses: a configuration that makes no sense changes nothing.
func TestSetRefuses(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		given := LinkConfig{Delay: time.Millisecond, Loss: 0.5, Burst: &GilbertElliott{P: 0.1, R: 0.2, LossBad: 1}}
		p := newPair(t, n, given)
		given.Burst.P = 7 // is the caller's own
		before := p.link.Config()
		if before.Burst.P != 0.1 || before.Down.Delay != time.Millisecond || before.MTU != 1500 {
			t.Errorf("%+v", before)
		}
		for c, want := range map[LinkConfig]string{
			{Delay: -1}:                              "delay -1ns is not in 0 to 24h0m0s",
			{Down: &LinkConfig{Loss: 2}}:             "way down: loss 2 is not in 0 to 1",
			{Down: &LinkConfig{Down: &LinkConfig{}}}: "the way down has a way down of its own",
			{Burst: &GilbertElliott{R: -1}}:          "burst R -1 is not in 0 to 1",
		} {
			if err := p.link.Set(c); err == nil || err.Error() != "netsim: set link a-z: "+want {
				t.Errorf("%v", err)
			}
		}
		after := p.link.Config()
		if *after.Burst != *before.Burst || *after.Down.Burst != *before.Down.Burst {
			t.Errorf("%+v became %+v", before, after)
		}
		if err := p.link.Set(after); err != nil { // what Config returns can be set
			t.Error(err)
		}
	})
	for _, c := range []LinkConfig{
		{Reorder: -0.1}, {Reorder: 1.1}, {ReorderBy: -1}, {ReorderBy: 25 * time.Hour}, {Duplicate: 2}, {Corrupt: math.NaN()}, {CorruptUndetected: -1},
		{QueuePackets: -1}, {Burst: &GilbertElliott{P: 2}}, {Burst: &GilbertElliott{LossGood: -1}}, {Burst: &GilbertElliott{LossBad: math.NaN()}},
	} {
		if _, _, err := c.directions(); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
