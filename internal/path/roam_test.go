package path

import (
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// After a change of network all paths are asked at once; if none answers by the verdict
// the peer is called, though others have not been given up yet.
func TestNetworkChanged(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	at := n.now
	n.s.NetworkChanged(n.now)
	n.run(time.Second)
	n.wantTimes(at, Recall, nowhere)
	n.wantTimes(at, Check, nowhere, 0)
	n.wantTimes(at, Use, nowhere)
	n.wantTimes(at, Resend, nowhere)
	n.answer[alpha], n.answer[beta] = 0, 0
	at = n.now
	n.s.NetworkChanged(n.now)
	n.run(500 * ms)
	n.wantTimes(at, Recall, nowhere, 100*ms)
	// What was in doubt for another reason is in doubt for this one, too; and when
	// all is given up a change is worth a call at once.
	n.run(5 * time.Second)
	at = n.now
	n.s.NetworkChanged(n.now)
	n.run(500 * ms)
	n.wantTimes(at, Recall, nowhere, 0)
}

// The doubt about a path that the local network refuses becomes one about all of them.
func TestNetworkChangedInDoubt(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.answer[alpha], n.answer[beta] = 0, 0
	at := n.now
	n.s.SendFailed(n.now, n.link, alpha, errors.New("no route"))
	n.run(10 * ms)
	n.wantTimes(at, Recall, nowhere) // beta may be good
	n.s.NetworkChanged(n.now)
	n.run(100 * ms)
	n.wantTimes(at, Recall, nowhere, 10*ms)
}

// When packets were lost and the peer shows itself on the path that data uses, what was sent
// last is sent again, once.
func TestResend(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[alpha] = 0
	at := n.now
	n.s.NetworkChanged(n.now)
	n.run(20 * ms)
	n.s.HandleProbe(n.now, n.link, alpha, wire.Probe{Token: 1})
	n.wantTimes(at, Resend, nowhere) // the first probe may still be answered
	n.run(280 * ms)
	n.s.HandleProbe(n.now, n.link, alpha, wire.Probe{Token: 2})
	n.answer[alpha] = 20 * ms
	n.run(time.Second)
	n.wantState(alpha, Valid)
	n.wantTimes(at, Resend, nowhere, 300*ms)
	// A path that died and is the one to use again.
	n.answer[alpha] = 0
	n.talk()
	n.run(5 * time.Second)
	n.wantState(alpha, Dead)
	at = n.now
	n.answer[alpha] = 20 * ms
	n.s.HandleSource(n.now, n.link, alpha, true)
	n.run(time.Second)
	n.wantTimes(at, Resend, nowhere, 20*ms)
}

// A dormant session sends nothing, whatever happens to the network; when it has something
// to say the paths and the SN are tried at once.
func TestDormantAndWaking(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.run(5 * time.Minute)
	at := n.now
	n.run(20 * time.Hour)
	n.s.NetworkChanged(n.now)
	n.run(time.Minute)
	if got := n.times(at, SendProbe, nowhere); len(got) > 0 {
		t.Errorf("probes of a dormant session at %v", got)
	}
	if next := n.s.Next(); !next.IsZero() {
		t.Errorf("a timer runs: %v from now", next.Sub(n.now))
	}
	at = n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(10 * ms)
	n.wantTimes(at, SendProbe, alpha, 0)
	n.wantTimes(at, Recall, nowhere, 0)
}

// A peer that does not answer while nobody waits for it is not lost: its machine may
// sleep. It is lost LostAfter somebody does.
func TestSleepingPeer(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: n.now.Add(ms)})
	n.answer[alpha] = 0
	at := n.now
	n.run(time.Hour)
	n.wantTimes(at, Lost, nowhere)
	if next := n.s.Next(); !next.IsZero() {
		t.Errorf("a timer runs: %v from now", next.Sub(n.now))
	}
	wake := n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: at})
	n.busy(time.Minute)
	n.run(time.Minute)
	n.wantTimes(wake, Recall, nowhere, 0, time.Second, 2*time.Second, 4*time.Second, 8*time.Second, 16*time.Second)
	n.wantTimes(wake, Lost, nowhere, LostAfter)
}

// If it answers again meanwhile, nothing is lost.
func TestSleepingPeerWakes(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[alpha] = 0
	n.run(time.Hour)
	at := n.now
	n.answer[alpha] = 20 * ms
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(time.Minute)
	n.wantTimes(at, Lost, nowhere)
	n.wantState(alpha, Valid)
	n.wantCurrent(alpha)
}

// Data that comes by another path, as the peer says, is no proof of the current one.
func TestDataOfAnotherPath(t *testing.T) {
	for _, nominated := range []bool{false, true} {
		n := newRig(t)
		n.valid(alpha, 20*ms)
		n.valid(beta, 30*ms)
		n.answer[alpha] = 0
		at := n.now
		n.s.Traffic(n.now, Traffic{LastSent: n.now})
		n.run(260 * ms)
		n.wantState(alpha, Suspect)
		n.s.HandleProbe(n.now, n.link, beta, wire.Probe{Token: 1, Nominated: nominated})
		n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: n.now})
		n.run(100 * ms)
		if nominated {
			n.wantTimes(at, Use, beta, 350*ms)
		} else {
			n.wantTimes(at, Use, nowhere)
		}
	}
}
