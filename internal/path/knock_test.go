package path

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

func TestKnockSchedule(t *testing.T) {
	all := []time.Duration{0, 50 * ms, 150 * ms, 350 * ms, 750 * ms, 1550 * ms, 3150 * ms}
	shift := func(d time.Duration) (ts []time.Duration) {
		for _, x := range all {
			ts = append(ts, x+d)
		}
		return ts
	}
	tests := []struct {
		name  string
		stage Stage
		cand  Candidate
		knock []time.Duration
		probe []time.Duration
		open  []time.Duration
	}{
		{"nothing to send", Waiting, Candidate{Origin: OriginObserved}, nil, nil, nil},
		{"call observed", Calling, Candidate{Origin: OriginObserved}, all, nil, nil},
		{"call told", Calling, Candidate{Origin: OriginDescriptor}, all[:4], nil, nil},
		{"answer observed", Answering, Candidate{Origin: OriginObserved}, all, nil, nil},
		{"answer told", Answering, Candidate{Origin: OriginSN}, nil, all[:4], nil},
		{"sealed observed", Sealed, Candidate{Origin: OriginObserved}, nil, all, nil},
		{"sealed told", Sealed, Candidate{Origin: OriginPeer}, nil, all[:4], nil},
		{"punch", Calling, Candidate{Origin: OriginObserved, Start: epoch.Add(40 * ms), Opener: true}, shift(40*ms + guard), nil, all[:1]},
		{"no opener for told", Calling, Candidate{Origin: OriginSN, Start: epoch.Add(40 * ms), Opener: true}, shift(40*ms + guard)[:4], nil, nil},
		{"no opener when it is late", Calling, Candidate{Origin: OriginObserved, Start: epoch.Add(-guard - ms), Opener: true}, all, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newRig(t)
			n.s.stage = Waiting
			n.s.SetStage(n.now, tt.stage)
			tt.cand.Addr = alpha
			tt.cand.Kind = wire.CandidateServerReflexive
			n.s.AddCandidate(n.now, tt.cand)
			n.run(20 * time.Second)
			n.wantTimes(epoch, Knock, alpha, tt.knock...)
			n.wantTimes(epoch, SendProbe, alpha, tt.probe...)
			n.wantTimes(epoch, Open, alpha, tt.open...)
			want := Failed
			if tt.stage == Waiting {
				want = Knocking
			}
			n.wantState(alpha, want)
			if tt.stage != Waiting {
				last := append(tt.knock, tt.probe...)
				if since := n.info(alpha).Since; !since.Equal(epoch.Add(last[len(last)-1] + time.Second)) {
					t.Errorf("failed at %v", since.Sub(epoch))
				}
			}
			for _, x := range n.sent {
				if x.Kind == Open && x.HopLimit != 4 {
					t.Errorf("opener with hop limit %d", x.HopLimit)
				}
			}
			if st := n.s.Stats(); st.Unproven != len(n.sent) || st.Knocks != len(tt.knock) || st.Probes != len(tt.probe) || st.Openers != len(tt.open) {
				t.Errorf("stats %+v for %d packets", st, len(n.sent))
			}
		})
	}
}

// What was held in stage Waiting goes out as soon as there is something to send.
func TestKnockAfterWaiting(t *testing.T) {
	n := newRig(t)
	n.s.SetStage(n.now, Waiting)
	n.tell(alpha, wire.CandidateHost)
	n.s.AddCandidate(n.now, Candidate{Addr: beta, Origin: OriginObserved, Start: n.now.Add(2 * time.Second)})
	n.run(time.Second)
	n.s.SetStage(n.now, Calling)
	n.run(1100 * ms)
	n.wantTimes(epoch.Add(time.Second), Knock, alpha, 0, 50*ms, 150*ms, 350*ms)
	n.wantTimes(epoch.Add(time.Second), Knock, beta, 1000*ms+guard, 1050*ms+guard)
}

// A stranger named again and again gets no more knocks within strangerRenewal, nor
// more because there are two links.
func TestStrangerBudget(t *testing.T) {
	n := newRig(t)
	n.s.AddLink(n.now, LinkInfo{Link: &testLink{"second"}, Local: addr("192.0.2.9:4000")})
	for range 29 {
		n.tell(alpha, wire.CandidateHost)
		n.s.Kick(n.now)
		n.s.SetStage(n.now, Calling)
		n.run(500 * ms)
		n.s.SetStage(n.now, Sealed)
		n.run(500 * ms)
	}
	if got := len(n.times(epoch, SendProbe, alpha)) + len(n.times(epoch, Knock, alpha)); got != strangerKnocks {
		t.Errorf("%d packets to a stranger in 29 s, want %d", got, strangerKnocks)
	}
	n.run(2 * time.Second)
	n.tell(alpha, wire.CandidateHost)
	n.run(5 * time.Second)
	if got := len(n.times(epoch, SendProbe, alpha)) + len(n.times(epoch, Knock, alpha)); got != 2*strangerKnocks {
		t.Errorf("%d packets after renewal, want %d", got, 2*strangerKnocks)
	}
}

// A peer that names ever new addresses, and sends from ever new ones, has us send
// within the budget and remember within the caps.
func TestHostilePeer(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	before := n.s.Stats()
	began := n.now
	for i := range 20_000 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1000)
		switch i % 3 {
		case 0:
			n.s.HandleProbe(n.now, n.link, a, wire.Probe{Token: uint64(i), Nominated: true})
		case 1:
			n.s.HandleSource(n.now, n.link, a, i%2 == 0)
		case 2:
			n.tell(a, wire.CandidateHost)
		}
		n.run(ms)
		sources := 0
		for _, p := range n.s.paths {
			if p.cand == nil && !p.proven() {
				sources++
			}
		}
		if len(n.s.paths) > maxPaths || sources > maxSources || len(n.s.cands) > maxCandidates || len(n.s.queue) > maxQueue+maxPaths {
			t.Fatalf("%d paths, %d of them mere sources, %d candidates, %d actions", len(n.s.paths), sources, len(n.s.cands), len(n.s.queue))
		}
	}
	elapsed := n.now.Sub(began)
	if got, most := n.s.Stats().Unproven-before.Unproven, unprovenBurst+int(elapsed/unprovenInterval)+1; got > most {
		t.Errorf("%d packets to addresses that never answered in %v, want at most %d", got, elapsed, most)
	}
	if got, most := n.s.Stats().Replies-before.Replies, 20_000/3+1; got > most {
		t.Errorf("%d replies to %d probes", got, most)
	}
	n.wantCurrent(alpha)
	n.wantState(alpha, Valid)
	if got := len(n.s.Log()); got != maxLog {
		t.Errorf("%d entries", got)
	}
}

// Sources learned from copied initiations leave the candidates their share.
func TestSourceFloodLeavesRoom(t *testing.T) {
	n := newRig(t)
	n.s.stage = Answering
	n.s.AddCandidate(n.now, Candidate{Addr: alpha, Origin: OriginObserved, Start: n.now.Add(100 * ms)})
	for i := range 1000 {
		n.s.HandleSource(n.now, n.link, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1000), false)
	}
	n.run(4 * time.Second)
	if got := len(n.times(epoch, Knock, alpha)); got != knocks {
		t.Errorf("%d knocks to the observed address, want %d", got, knocks)
	}
	if got := n.s.Stats().Unproven - knocks; got > sourceBurst+int(4*time.Second/unprovenInterval) {
		t.Errorf("%d packets to sources", got)
	}
}

// The order matters: a sealed packet shows the peer where what follows comes from.
func TestProbeBeforeUse(t *testing.T) {
	n := newRig(t)
	n.s.HandleSource(n.now, n.link, alpha, false)
	if got := kinds(n.s.Poll(n.now)); !slices.Equal(got, []ActionKind{SendProbe, Use}) {
		t.Errorf("initiator, at the response: %v", got)
	}
	n = newRig(t)
	n.s.stage = Answering
	n.s.HandleSource(n.now, n.link, alpha, false)
	if got := kinds(n.s.Poll(n.now)); !slices.Equal(got, []ActionKind{Use}) {
		t.Errorf("responder, at the initiation: %v", got)
	}
	n.s.SetStage(n.now, Sealed)
	n.s.HandleProbe(n.now, n.link, beta, wire.Probe{Token: 7})
	acts := n.s.Poll(n.now)
	if got := kinds(acts); !slices.Equal(got, []ActionKind{SendProbe, Use, SendReply, SendProbe}) {
		t.Fatalf("responder, at the first sealed probe: %v", got)
	}
	if acts[1].Addr != beta {
		t.Errorf("data stays at the initiation's source, not the sealed packet's")
	}
	if want := (wire.ProbeReply{Token: 7, Observed: beta}); acts[2].Addr != beta || acts[2].Reply != want {
		t.Errorf("reply %+v", acts[2])
	}
}

// The source of an initiation may be forged. While nothing but that says that the
// peer is there nothing is sent, however long it lasts and whatever else is told of
// the address; nor is anybody called to find what was never there.
func TestUnconfirmedSourceGetsNothing(t *testing.T) {
	for _, stage := range []Stage{Calling, Answering} {
		n := newRig(t)
		n.s.SetStage(n.now, stage)
		for range 3 {
			n.s.HandleSource(n.now, n.link, alpha, false)
		}
		if stage == Answering {
			n.s.AddCandidate(n.now, Candidate{Addr: alpha, Kind: wire.CandidateHost, Origin: OriginSN})
		}
		n.run(time.Minute)
		for _, a := range n.sent {
			if a.Kind != Use {
				t.Errorf("stage %d: action %d at %v", stage, a.Kind, a.at)
			}
		}
		at := n.now
		n.s.SetStage(n.now, Sealed)
		n.s.HandleSource(n.now, n.link, alpha, true)
		n.run(10 * ms)
		n.wantTimes(at, SendProbe, alpha, 0)
	}
}

// A packet that changes what can be sent is followed by the new kind of knock at once.
func TestStageChangeKnocksAtOnce(t *testing.T) {
	n := newRig(t)
	n.s.stage = Calling
	n.s.HandleSource(n.now, n.link, alpha, false) // glare: the loser's initiation
	n.run(600 * ms)                               // the next knock would be at 750 ms
	if len(n.times(epoch, Use, alpha)) != 0 {
		t.Error("data before there are keys")
	}
	at := n.now
	n.s.SetStage(n.now, Sealed)
	n.s.HandleSource(n.now, n.link, alpha, false) // its response
	n.run(10 * ms)
	n.wantTimes(at, SendProbe, alpha, 0)
	n.wantTimes(at, Use, alpha, 0)
}

// A new handshake rides over the paths there are, and leaves them valid.
func TestRekey(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 40*ms)
	n.valid(gamma, 45*ms)
	at := n.now
	n.s.SetStage(n.now, Calling)
	n.run(100 * ms)
	n.wantTimes(at, Knock, alpha, 0, 50*ms)
	n.wantTimes(at, Knock, beta, 0, 50*ms)
	n.wantTimes(at, Knock, gamma)
	n.s.SetStage(n.now, Sealed)
	n.run(5 * time.Second)
	n.wantTimes(at, Knock, alpha, 0, 50*ms)
	n.wantState(alpha, Valid)

	// As responder: the initiation comes over the current path.
	at = n.now
	n.s.SetStage(n.now, Answering)
	n.s.HandleSource(n.now, n.link, alpha, false)
	n.s.HandleSource(n.now, n.link, alpha, false)
	n.run(20 * time.Second)
	n.wantTimes(at, Knock, alpha, 0, 50*ms, 150*ms, 350*ms, 750*ms, 1550*ms, 3150*ms)
	n.wantTimes(at, Knock, beta)
	if i := n.info(alpha); i.State != Valid || !i.Since.Before(at) {
		t.Errorf("the handshake touched the path: %v since %v", i.State, i.Since.Sub(at))
	}
	n.wantCurrent(alpha)
	if got := n.s.Stats().Unproven; got != 3 {
		t.Errorf("%d packets to unproven addresses, want the 3 first probes", got)
	}
}

// The SN's second call punches again at the time it names.
func TestPunchAgain(t *testing.T) {
	n := newRig(t)
	n.s.stage = Calling
	first := Candidate{Addr: alpha, Origin: OriginObserved, Start: epoch.Add(10 * ms), Opener: true}
	n.s.AddCandidate(n.now, first)
	n.run(time.Second)
	n.s.AddCandidate(n.now, first) // a repeated message changes nothing
	n.run(time.Second)
	n.wantTimes(epoch, Knock, alpha, 10*ms+guard, 60*ms+guard, 160*ms+guard, 360*ms+guard, 760*ms+guard, 1560*ms+guard)
	at := n.now
	n.s.AddCandidate(n.now, Candidate{Addr: alpha, Origin: OriginObserved, Start: at.Add(30 * ms), Opener: true})
	n.run(150 * ms)
	n.wantTimes(at, Open, alpha, 0)
	n.wantTimes(at, Knock, alpha, 30*ms+guard, 80*ms+guard)
}
