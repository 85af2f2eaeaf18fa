package path

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestValidation(t *testing.T) {
	n := newRig(t)
	n.answer[alpha] = 30 * ms
	n.tell(alpha, wire.CandidateHost)
	n.run(20 * ms)
	n.wantState(alpha, Knocking)
	if _, ok := n.s.Current(); ok {
		t.Error("data to a mere candidate")
	}
	n.run(time.Second)
	n.wantCurrent(alpha)
	i := n.info(alpha)
	if i.State != Valid || i.RTT != 30*ms || i.MinRTT != 30*ms || i.Observed != outside || i.Kind != Direct || !i.Current || i.Link != n.link || i.Local != ours {
		t.Errorf("%+v", i)
	}
	if at := i.Since.Sub(epoch); at != 30*ms {
		t.Errorf("valid at %v, want one round trip", at)
	}
	n.wantTimes(epoch, Use, alpha, 30*ms)
	// The knock, the nomination with the choice, and its three repetitions.
	n.wantTimes(epoch, SendProbe, alpha, 0, 30*ms, 130*ms, 330*ms, 730*ms)
	for i, x := range n.sent {
		if x.Kind == SendProbe && x.Probe.Nominated != (i > 0) {
			t.Errorf("probe %d: nominated %v", i, x.Probe.Nominated)
		}
	}
}

// An answer counts only with the token, from the address the probe went to, once, and
// in time.
func TestReplyMustMatch(t *testing.T) {
	n := newRig(t)
	n.act = nil
	n.tell(alpha, wire.CandidateHost)
	n.run(10 * ms)
	token := n.sent[0].Probe.Token
	if token == 0 {
		t.Fatal("token 0")
	}
	reply := func(token uint64) wire.ProbeReply { return wire.ProbeReply{Token: token, Observed: outside} }

	n.s.HandleReply(n.now, n.link, beta, reply(token))
	n.wantState(beta, Validating) // an authenticated packet, no more
	n.wantState(alpha, Knocking)
	n.s.HandleReply(n.now, n.link, alpha, reply(0))
	n.s.HandleReply(n.now, n.link, alpha, reply(token+1))
	n.wantState(alpha, Validating)
	n.s.HandleReply(n.now, &testLink{"unknown"}, alpha, reply(token))
	n.wantState(alpha, Validating)

	n.s.HandleReply(n.now.Add(replyLimit+ms), n.link, alpha, reply(token))
	n.wantState(alpha, Validating)
	n.run(replyLimit + 100*ms) // and more knocks, all too old but the last
	last := n.sent[len(n.sent)-1]
	for _, x := range n.sent {
		if x.Kind == SendProbe && x.Addr == alpha {
			last = x
		}
	}
	n.s.HandleReply(epoch.Add(last.at+20*ms), n.link, alpha, reply(last.Probe.Token))
	n.wantState(alpha, Valid)
	n.s.HandleReply(epoch.Add(last.at+90*ms), n.link, alpha, reply(last.Probe.Token))
	if i := n.info(alpha); i.RTT != 20*ms || i.Replies != 1 {
		t.Errorf("a token counted twice: %+v", i)
	}
}

// Tokens are fresh: whoever forges an answer has to guess.
func TestTokensDiffer(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.run(10 * time.Minute)
	seen := make(map[uint64]bool)
	for _, x := range n.sent {
		if x.Kind != SendProbe {
			continue
		}
		if seen[x.Probe.Token] {
			t.Fatalf("token %#x twice", x.Probe.Token)
		}
		seen[x.Probe.Token] = true
	}
}

// The current path and the standby are kept alive, others expire, and all of it ends
// when there has been no data for DormantAfter.
func TestKeepAliveAndExpiry(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 21*ms)
	n.valid(gamma, 22*ms)
	at := n.now
	n.run(DormantAfter - time.Second)
	for _, tt := range []struct {
		name   string
		ts     []time.Duration
		lo, hi int
	}{
		{"current", n.times(at, SendProbe, alpha), 4, 5},
		{"standby", n.times(at, SendProbe, beta), 4, 5},
		{"other", n.times(at, SendProbe, gamma), 0, 0},
	} {
		if len(tt.ts) < tt.lo || len(tt.ts) > tt.hi {
			t.Errorf("%s probed at %v", tt.name, tt.ts)
		}
		for i := 1; i < len(tt.ts); i++ {
			if gap := tt.ts[i] - tt.ts[i-1]; gap < 22*time.Second || gap > 28*time.Second {
				t.Errorf("%s: %v between keepalives", tt.name, gap)
			}
		}
	}
	n.wantState(gamma, Failed)
	if i := n.info(beta); !i.Standby || i.State != Valid {
		t.Errorf("standby: %+v", i)
	}
	n.run(time.Hour)
	if ts := n.times(at, SendProbe, alpha); ts[len(ts)-1] > DormantAfter {
		t.Errorf("probed at %v, while dormant", ts[len(ts)-1])
	}
	n.wantState(alpha, Valid)
	n.wantCurrent(alpha)
	if next := n.s.Next(); !next.IsZero() {
		t.Errorf("a dormant set wakes in %v", next.Sub(n.now))
	}
}

// A dormant session wakes by a kick or by data, and then tries all at once.
func TestWake(t *testing.T) {
	for _, how := range []string{"kick", "data"} {
		n := newRig(t)
		n.valid(alpha, 20*ms)
		n.valid(beta, 21*ms)
		n.run(time.Hour)
		at := n.now
		if how == "kick" {
			n.s.Kick(n.now)
			n.s.Kick(n.now)
		} else {
			n.s.Traffic(n.now, Traffic{LastSent: n.now})
		}
		n.run(time.Second)
		n.wantTimes(at, SendProbe, alpha, 0)
		n.wantTimes(at, SendProbe, beta, 0)
		n.wantState(alpha, Valid)
		n.run(60 * time.Second)
		if len(n.times(at, SendProbe, alpha)) < 3 {
			t.Errorf("%s: no keepalives after waking", how)
		}
	}
}

// A silent standby dies after three misses, is retried with back-off, and given up.
func TestStandbyDies(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 21*ms)
	n.answer[beta] = 0
	at := n.now
	keep := func() { n.s.Traffic(n.now, Traffic{LastSent: n.now.Add(-ms), LastReceived: n.now}) }
	for range 60 {
		n.run(10 * time.Second)
		keep()
	}
	ts := n.times(at, SendProbe, beta)
	first := ts[0]
	var gaps []time.Duration
	for i := range ts[1:] {
		gaps = append(gaps, (ts[i+1]-ts[i]).Round(time.Second)/time.Second)
	}
	// Three probes, dead, then after 1, 2, 4 … 64 s.
	want := []time.Duration{1, 1, 2, 2, 4, 8, 16, 32, 64, 64}
	if first > 28*time.Second || len(gaps) != len(want) {
		t.Fatalf("first after %v, then %v s", first, gaps)
	}
	for i := range want {
		if gaps[i] != want[i] {
			t.Errorf("gaps %v s, want %v s", gaps, want)
			break
		}
	}
	n.wantState(beta, Failed)
	n.wantCurrent(alpha)

	n.answer[beta] = 21 * ms
	n.s.Kick(n.now)
	n.run(time.Second)
	n.wantState(beta, Valid)
}
