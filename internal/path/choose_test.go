package path

import (
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

var lan = addr("192.0.2.77:5000")

func TestBetterKindWinsAtOnce(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 10*ms) // punched: nothing was told of it
	at := n.now
	n.answer[beta] = 200 * ms
	n.tell(beta, wire.CandidateHost)
	n.run(time.Second)
	n.wantTimes(at, Use, beta, 200*ms)
	n.answer[lan] = 300 * ms
	at = n.now
	n.tell(lan, wire.CandidateHost)
	n.run(time.Second)
	n.wantTimes(at, Use, lan, 300*ms)
	if i, _ := n.s.Current(); i.Kind != LAN {
		t.Errorf("%+v", i)
	}
	if i := n.info(beta); !i.Standby || i.Kind != Direct {
		t.Errorf("standby %+v", i)
	}
	var order []string
	for _, i := range n.s.Paths() {
		order = append(order, i.Kind.String())
	}
	if len(order) != 3 || order[0] != "lan" || order[1] != "direct" || order[2] != "punched" {
		t.Errorf("paths in order %v", order)
	}
}

func TestLowerRTT(t *testing.T) {
	tests := []struct {
		name     string
		cur, new time.Duration
		switches bool
	}{
		{"20 % and 5 ms", 100 * ms, 80 * ms, true},
		{"19 %", 100 * ms, 81 * ms, false},
		{"half, but 4 ms", 8 * ms, 4 * ms, false},
		{"higher", 50 * ms, 100 * ms, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newRig(t)
			n.valid(alpha, tt.cur)
			at := n.now
			n.valid(beta, tt.new)
			if !tt.switches {
				n.run(10 * time.Minute)
				n.wantTimes(at, Use, beta)
				return
			}
			// Two samples from the knocks at 0 and 50 ms, the third winGap later.
			n.wantTimes(at, Use, beta, 50*ms+tt.new+winGap+tt.new)
			n.wantCurrent(beta)
		})
	}
}

// Fast samples that are not consecutive do not count.
func TestLowerRTTConsecutive(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 100*ms)
	samples := 0
	act := n.act
	n.act = func(a Action) {
		if a.Kind == SendProbe && a.Addr == beta {
			samples++
			n.answer[beta] = 50 * ms
			if samples%3 == 0 {
				n.answer[beta] = 100 * ms
			}
		}
		act(a)
	}
	at := n.now
	n.s.HandleSource(n.now, n.link, beta, true)
	n.run(100 * time.Second)
	n.wantTimes(at, Use, beta)
	if samples < 6 {
		t.Errorf("only %d samples", samples)
	}
}

// The end that is not the client follows the newest nomination, once the path is valid,
// whatever it would choose itself.
func TestFollower(t *testing.T) {
	n := newRig(t)
	n.s.SetNominator(n.now, false)
	nominate := func(a string) { n.s.HandleProbe(n.now, n.link, addr(a), wire.Probe{Token: 1, Nominated: true}) }
	n.valid(alpha, 100*ms)
	n.valid(beta, 10*ms)
	n.answer[lan] = 5 * ms
	n.tell(lan, wire.CandidateHost)
	n.run(30 * time.Second)
	n.wantCurrent(alpha)

	nominate(beta.String())
	n.wantCurrent(beta)
	n.answer[gamma] = 40 * ms
	nominate(gamma.String())
	n.wantCurrent(beta) // not valid yet
	n.run(50 * ms)
	n.wantCurrent(gamma)
	last := n.s.Log()
	for i := len(last) - 1; ; i-- {
		if last[i].Event == EventUse {
			if last[i].Reason != Nominated || last[i].Remote != gamma {
				t.Errorf("record: %v", last[i])
			}
			break
		}
	}
	// A probe that names nothing moves nothing, nor does one that the owner lets in
	// from an address that does not answer.
	n.s.HandleProbe(n.now, n.link, alpha, wire.Probe{Token: 1})
	nominate("203.0.113.99:9")
	n.run(20 * time.Second)
	n.wantCurrent(gamma)
	// Our probes say which path we use.
	n.run(30 * time.Second)
	for _, x := range n.sent {
		if x.Kind == SendProbe && x.at > n.now.Sub(epoch)-30*time.Second && x.Probe.Nominated != (x.Addr == gamma) {
			t.Errorf("probe to %v nominated %v", x.Addr, x.Probe.Nominated)
		}
	}
}

// The client does not follow; but a peer that keeps using another path may not get
// what we send, so our path is checked.
func TestPeerElsewhere(t *testing.T) {
	for _, works := range []bool{true, false} {
		n := newRig(t)
		n.valid(alpha, 20*ms)
		n.valid(beta, 20*ms)
		if !works {
			n.answer[alpha] = 0
		}
		at := n.now
		for range 5 {
			n.s.HandleProbe(n.now, n.link, beta, wire.Probe{Token: 1, Nominated: true})
			n.run(10 * ms)
			// What still arrives does not prove that what we send does.
			n.s.Traffic(n.now, Traffic{LastSent: n.now.Add(-ms), LastReceived: n.now})
		}
		n.run(500 * ms)
		if works {
			n.wantCurrent(alpha)
			n.wantTimes(at, SendProbe, alpha, 0)
		} else {
			n.wantTimes(at, Use, beta, 100*ms)
		}
	}
}

// Whoever becomes the client tells its choice at once, though it has made it before.
func TestSetNominatorTells(t *testing.T) {
	n := newRig(t)
	n.s.SetNominator(n.now, false)
	n.valid(alpha, 10*ms)
	at := n.now
	n.s.SetNominator(n.now, true)
	n.run(time.Second)
	n.wantTimes(at, SendProbe, alpha, 0, 200*ms, 600*ms)
	n.wantTimes(at, Use, nowhere)
}

// The end that follows tells where it went by itself: the client may not know that the
// path is dead in one direction.
func TestFollowerTellsFailover(t *testing.T) {
	n := newRig(t)
	n.s.SetNominator(n.now, false)
	n.valid(alpha, 20*ms)
	n.valid(beta, 20*ms)
	n.talk()
	n.answer[alpha] = 0
	at := n.now
	n.run(3 * time.Second)
	use := n.times(at, Use, beta)
	if len(use) != 1 {
		t.Fatalf("in use at %v", use)
	}
	var told []time.Duration
	for _, x := range n.sent {
		if x.Kind == SendProbe && x.Addr == beta && x.Probe.Nominated {
			told = append(told, x.at-at.Sub(epoch)-use[0])
		}
	}
	if want := []time.Duration{0, 100 * ms, 300 * ms, 700 * ms}; !slices.Equal(told, want) {
		t.Errorf("told at %v, want %v", told, want)
	}
}

func TestSetNominator(t *testing.T) {
	n := newRig(t)
	n.s.SetNominator(n.now, false)
	n.valid(alpha, 10*ms)
	n.answer[lan] = 10 * ms
	n.tell(lan, wire.CandidateHost)
	n.run(time.Second)
	n.wantCurrent(alpha)
	at := n.now
	n.s.SetNominator(n.now, true)
	n.run(10 * ms)
	n.wantTimes(at, Use, lan, 0)
	for _, x := range n.sent {
		if x.Kind == SendProbe && x.at >= at.Sub(epoch) && !x.Probe.Nominated {
			t.Error("the choice was not told")
		}
	}
}

// A path that carries data before it is valid is preferred for provisionalGrace to a
// valid one of a lesser kind, and not to one of as good a kind.
func TestProvisional(t *testing.T) {
	t.Run("lesser", func(t *testing.T) {
		n := newRig(t)
		relay := n.addRelay(20 * ms)
		n.s.HandleSource(n.now, n.link, alpha, true)
		n.wantCurrent(alpha)
		n.run(time.Second)
		n.wantTimes(epoch, Use, relay, provisionalGrace)
	})
	t.Run("lesser, but it answers", func(t *testing.T) {
		n := newRig(t)
		relay := n.addRelay(20 * ms)
		n.answer[alpha] = 250 * ms
		n.s.HandleSource(n.now, n.link, alpha, true)
		n.run(time.Second)
		n.wantTimes(epoch, Use, relay)
		n.wantTimes(epoch, Use, alpha, 0)
		n.wantState(alpha, Valid)
	})
	t.Run("as good", func(t *testing.T) {
		n := newRig(t)
		n.answer[beta] = 20 * ms
		n.s.HandleSource(n.now, n.link, alpha, true)
		n.s.HandleSource(n.now, n.link, beta, true)
		n.wantCurrent(alpha)
		n.run(time.Second)
		n.wantTimes(epoch, Use, beta, 20*ms)
	})
	t.Run("alone, and never valid", func(t *testing.T) {
		n := newRig(t)
		n.s.HandleSource(n.now, n.link, alpha, true)
		n.run(40 * time.Second)
		n.wantState(alpha, Failed)
		// 3,150 ms of knocks and roundEnd: down from then on.
		down := 4150 * ms
		n.wantTimes(epoch, Recall, nowhere, down+time.Second, down+2*time.Second, down+4*time.Second, down+8*time.Second, down+16*time.Second)
		n.wantTimes(epoch, Lost, nowhere, down+LostAfter)
	})
}

// A path that fails again and again is held back longer and longer: data does not flap.
func TestFlapping(t *testing.T) {
	n := newRig(t)
	n.tell(beta, wire.CandidateHost)
	n.valid(alpha, 20*ms)
	n.valid(beta, 20*ms)
	n.wantCurrent(beta)
	began := n.now
	var up, flip func()
	up = func() { n.answer[beta] = 20 * ms; n.after(2*time.Second, flip) }
	flip = func() { n.answer[beta] = 0; n.after(2*time.Second, up) }
	flip()
	var tick func()
	last := n.now
	tick = func() {
		if n.answer[n.current()] != 0 {
			last = n.now
		}
		n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: last})
		n.after(20*ms, tick)
	}
	tick()
	n.run(10 * time.Minute)
	// Every 4 s the better path comes and goes: 150 times. Held for 1, 2, 4 … 64 s it is
	// taken 7 times in the first 127 s, and at most once in 64 s after.
	if got := len(n.times(began, Use, beta)); got < 1 || got > 7+(600-127)/64 {
		t.Errorf("changed to the unsteady path %d times in 10 minutes", got)
	}
	// And once it is steady it is forgiven.
	n.events = nil
	n.answer[beta] = 20 * ms
	tick()
	n.run(3 * time.Minute)
	n.wantCurrent(beta)
}
