package path

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// talk has data flow each 10 ms over the current path, both ways as long as it answers.
func (n *node) talk() {
	last := n.now
	var tick func()
	tick = func() {
		if n.answer[n.current()] != 0 {
			last = n.now.Add(-ms)
		}
		n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: last})
		n.after(10*ms, tick)
	}
	tick()
}

func TestFailover(t *testing.T) {
	tests := []struct {
		rtt, standby time.Duration
		want         time.Duration // from the first unanswered data to Use
	}{
		// 250 ms of silence, then 100 ms for the current to answer.
		{20 * ms, 30 * ms, 350 * ms},
		// The standby's answer is waited for.
		{20 * ms, 180 * ms, 430 * ms},
		// With a variance as settled by five equal samples, 4 · 500/2 · (3/4)^4 = 316 ms:
		// silence is the least of 500+316 and 1.25 · 500; then 1.25 · 500.
		{500 * ms, 510 * ms, 1250 * ms},
	}
	for _, tt := range tests {
		n := newRig(t)
		n.valid(alpha, tt.rtt)
		n.valid(beta, tt.standby)
		n.talk()
		n.run(2 * time.Second)
		n.wantState(alpha, Valid)
		n.answer[alpha] = 0
		cut := n.now
		n.run(5 * time.Second)
		got := n.times(cut, Use, beta)
		if len(got) != 1 || got[0] < tt.want-11*ms || got[0] > tt.want+11*ms {
			t.Errorf("RTT %v and %v: in use after %v, want %v\n%s", tt.rtt, tt.standby, got, tt.want, n.record())
		}
		if len(n.times(cut, Recall, nowhere)) != 0 {
			t.Error("recalled though there is a path")
		}
		n.wantState(alpha, Dead)
		// Before the verdict the current is asked more than once, but not without end.
		if probes := n.times(cut, SendProbe, alpha); len(probes) < 2 || len(probes) > 10 {
			t.Errorf("probes of the current path: %v", probes)
		}
	}
}

// Data that goes unanswered costs a probe, and no more if the path works; the data of
// the peer ends the doubt as well.
func TestFalseAlarm(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	at := n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(10 * time.Second)
	n.wantTimes(at, SendProbe, alpha, 250*ms)
	n.wantTimes(at, SendProbe, beta, 250*ms)
	n.wantTimes(at, Use, nowhere)
	n.wantState(alpha, Valid)

	n.answer[alpha] = 0 // probes are lost, data is not
	at = n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(300 * ms)
	n.wantState(alpha, Suspect)
	n.s.Traffic(n.now, Traffic{LastSent: n.now.Add(-ms), LastReceived: n.now})
	n.run(2 * time.Second)
	n.wantState(alpha, Valid)
	n.wantTimes(at, Use, nowhere)
}

// What was sent before the last sign of life is not outstanding.
func TestNothingOutstanding(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	at := n.now
	for range 20 {
		n.s.Traffic(n.now, Traffic{LastSent: n.now.Add(-2 * ms), LastReceived: n.now.Add(-ms)})
		n.run(500 * ms)
	}
	n.wantTimes(at, SendProbe, alpha)
}

// With nothing outstanding, three keepalive probes a second apart do the same.
func TestKeepaliveFailover(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.answer[alpha] = 0
	at := n.now
	n.run(35 * time.Second)
	probes := n.times(at, SendProbe, alpha)
	first := probes[0]
	if want := []time.Duration{first, first + time.Second, first + 2*time.Second}; !slices.Equal(probes[:3], want) {
		t.Errorf("probes at %v, want %v", probes, want)
	}
	n.wantTimes(at, Use, beta, first+3*time.Second)
}

// Data, or a refusal to send, makes haste of a doubt that a missing keepalive has raised.
func TestDoubtIsHastened(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hasten func(n *node)
		want   time.Duration // until the standby is used; 2 s if nothing happens
	}{
		{"data", func(n *node) { n.s.Traffic(n.now, Traffic{LastSent: n.now}) }, 350 * ms},
		{"refusal", func(n *node) { n.s.SendFailed(n.now, n.link, alpha, errors.New("no route")) }, 0},
		{"nothing", func(n *node) {}, 1900 * ms},
	} {
		n := newRig(t)
		n.valid(alpha, 20*ms)
		n.valid(beta, 30*ms)
		n.answer[alpha] = 0
		for n.info(alpha).State != Suspect {
			n.run(100 * ms)
		}
		n.run(n.info(alpha).Since.Add(100 * ms).Sub(n.now)) // the standby has answered by then
		at := n.now
		tt.hasten(n)
		n.run(3 * time.Second)
		if got := n.times(at, Use, beta); len(got) != 1 || got[0] != tt.want {
			t.Errorf("%s: in use after %v, want %v\n%s", tt.name, got, tt.want, n.record())
		}
	}
}

// Data sent over the path before does not count against the new one.
func TestUnansweredEndsWithThePath(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[lan] = 20 * ms
	n.tell(lan, wire.CandidateHost)
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(20 * ms)
	n.wantCurrent(lan)
	n.run(5 * time.Second)
	for _, e := range n.s.Log() {
		if e.State == Suspect {
			t.Errorf("record: %v", e)
		}
	}
}

// Kicks in a row are one.
func TestKicksCoalesce(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.s.SendFailed(n.now, n.link, beta, errors.New("no route"))
	n.answer[beta] = 0
	n.run(4 * time.Second)
	at := n.now
	for range 5 {
		n.s.Kick(n.now)
		n.run(9 * ms)
	}
	n.wantTimes(at, SendProbe, beta, 0)
	n.run(10 * ms)
	n.s.Kick(n.now)
	n.run(ms)
	n.wantTimes(at, SendProbe, beta, 0, 55*ms)
}

func TestSendFailed(t *testing.T) {
	noRoute := errors.New("network is unreachable")
	n := newRig(t)
	n.tell(gamma, wire.CandidateHost)
	n.run(10 * ms)
	n.s.SendFailed(n.now, n.link, gamma, noRoute)
	n.wantState(gamma, Failed)
	n.run(time.Second)
	n.wantTimes(epoch, SendProbe, gamma, 0)

	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.valid(lan, 40*ms)
	n.s.SendFailed(n.now, n.link, lan, noRoute)
	n.wantState(lan, Dead)

	// The current path: the first other to answer takes over, without delay.
	n.answer[alpha] = 0
	at := n.now
	for range 100 {
		n.s.SendFailed(n.now, n.link, alpha, noRoute) // each packet of the data plane fails
	}
	n.run(time.Second)
	n.wantTimes(at, Use, beta, 30*ms)
	if got := len(n.times(at, SendProbe, alpha)); got > 3 {
		t.Errorf("%d probes", got)
	}
	errs := 0
	for _, e := range n.s.Log() {
		if e.Err != nil {
			errs++
		}
	}
	if errs != 3 {
		t.Errorf("%d errors in the record, want one a path:\n%s", errs, n.record())
	}
	// A failure that was the moment's: the path answers, and data stays.
	at = n.now
	n.s.SendFailed(n.now, n.link, beta, noRoute)
	n.run(time.Second)
	n.wantTimes(at, Use, nowhere)
	n.wantState(beta, Valid)
	// What is not ours is ignored.
	n.s.SendFailed(n.now, &testLink{"unknown"}, beta, noRoute)
	n.s.SendFailed(n.now, n.link, addr("203.0.113.200:1"), noRoute)
}

// No path answers: the SN is asked from the first second on, all that was ever good is
// tried, and after LostAfter the peer is lost. It is found again when a path answers.
func TestDown(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.valid(gamma, 40*ms)
	n.run(70 * time.Second) // gamma expires
	n.wantState(gamma, Failed)
	n.answer[alpha], n.answer[beta], n.answer[gamma] = 0, 0, 0
	at := n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.busy(40 * time.Second)
	n.run(2 * time.Minute)
	doubt := 250 * ms
	n.wantTimes(at, Recall, nowhere, doubt+time.Second, doubt+2*time.Second, doubt+4*time.Second, doubt+8*time.Second, doubt+16*time.Second)
	n.wantTimes(at, Lost, nowhere, doubt+LostAfter)
	if got := len(n.times(at, SendProbe, gamma)); got < knocks {
		t.Errorf("%d probes of the expired path", got)
	}
	for _, a := range []string{alpha.String(), beta.String()} {
		// Up to 8 in the first second, one a second until it is lost, then the back-off.
		if got := n.times(at, SendProbe, addr(a)); len(got) < 25 || len(got) > 50 {
			t.Errorf("%d probes of a dead path: %v", len(got), got)
		}
	}
	if i, ok := n.s.Current(); !ok || i.State != Dead {
		t.Errorf("current %+v", i)
	}
	n.answer[beta] = 30 * ms
	at = n.now
	n.s.Kick(n.now)
	n.run(time.Second)
	n.wantTimes(at, Use, beta, 30*ms)
	n.run(time.Minute)
	n.wantTimes(at, Recall, nowhere)
}

// A peer that comes back from another address is followed at once.
func TestPeerMoves(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[alpha] = 0
	n.talk()
	n.run(3 * time.Second)
	n.wantState(alpha, Dead)
	at := n.now
	n.answer[beta] = 20 * ms
	n.s.HandleSource(n.now, n.link, beta, false)
	n.wantCurrent(alpha) // may be a copy
	n.s.HandleProbe(n.now, n.link, beta, wire.Probe{Token: 1})
	n.run(time.Second)
	n.wantTimes(at, Use, beta, 0)
	n.wantState(beta, Valid)
}

// A dead current path that is heard again is asked at once, and its answer ends the
// time without a path.
func TestCurrentComesBack(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[alpha] = 0
	n.talk()
	n.run(5 * time.Second)
	n.answer[alpha] = 20 * ms
	at := n.now
	n.s.HandleSource(n.now, n.link, alpha, true)
	n.run(2 * time.Second)
	n.wantState(alpha, Valid)
	n.wantTimes(at, SendProbe, alpha, 0, 20*ms+100*ms, 20*ms+300*ms, 20*ms+700*ms) // and the nominations
	n.run(time.Minute)
	n.wantTimes(at, Recall, nowhere)
}

func TestRemoveLink(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	relay := n.addRelay(50 * ms)
	n.run(time.Second)
	at := n.now
	n.s.RemoveLink(n.now, n.link)
	n.s.RemoveLink(n.now, n.link)
	n.run(time.Second)
	n.wantTimes(at, Use, relay, 0)
	n.wantTimes(at, SendProbe, relay, 0, 25*ms, 100*ms, 300*ms, 700*ms)
	if len(n.s.Paths()) != 1 {
		t.Errorf("paths: %v", n.s.Paths())
	}
	at = n.now
	n.s.RemoveLink(n.now, n.s.Paths()[0].Link)
	n.run(40 * time.Second)
	if _, ok := n.s.Current(); ok {
		t.Error("a current path without a link")
	}
	n.wantTimes(at, Lost, nowhere, LostAfter)
}
