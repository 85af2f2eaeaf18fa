package path

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// A relay is just another link: ready first it is used first, left at once for
// anything better, kept as the standby, and returned to within max(3 RTT, 1 s) of
// the direct path's silence.
func TestRelayLink(t *testing.T) {
	for _, direct := range []time.Duration{15 * ms, 60 * ms, 400 * ms} {
		n := newRig(t)
		relay := n.addRelay(80 * ms)
		n.run(100 * ms)
		n.wantTimes(epoch, Use, relay, 80*ms)
		if i, _ := n.s.Current(); i.Kind != Relayed {
			t.Errorf("%+v", i)
		}
		at := n.now
		n.answer[alpha] = direct
		n.tell(alpha, wire.CandidateHost)
		n.run(3 * time.Second)
		n.wantTimes(at, Use, alpha, direct)
		if i := n.info(relay); !i.Standby || i.State != Valid {
			t.Errorf("relay: %+v", i)
		}
		n.talk()
		n.run(time.Minute)
		n.wantCurrent(alpha)

		n.answer[alpha] = 0
		cut := n.now
		n.run(10 * time.Second)
		got := n.times(cut, Use, relay)
		if limit := max(3*direct, time.Second); len(got) != 1 || got[0] > limit {
			t.Errorf("RTT %v: back at the relay after %v, want within %v", direct, got, limit)
		}
		n.answer[alpha] = direct
		n.run(2 * time.Minute)
		n.wantCurrent(alpha)
	}
}

// Packets over a relay come from its peer only.
func TestRelayHasOnePeer(t *testing.T) {
	n := newRig(t)
	n.addRelay(80 * ms)
	n.run(time.Second)
	l := n.s.Paths()[0].Link
	n.s.HandleProbe(n.now, l, alpha, wire.Probe{Token: 1})
	n.tell(beta, wire.CandidateHost)
	for _, i := range n.s.Paths() {
		if i.Link == l && i.Remote != addr("198.51.100.99:3478") {
			t.Errorf("path %v over the relay", i.Remote)
		}
	}
}

// The order of kinds holds for TCP as well: better than a relay, worse than UDP.
func TestTCPLink(t *testing.T) {
	n := newRig(t)
	relay := n.addRelay(10 * ms)
	n.run(time.Second)
	tcp := addr("203.0.113.1:443")
	n.answer[tcp] = 90 * ms
	n.s.AddLink(n.now, LinkInfo{Link: &testLink{"tcp"}, Transport: TransportTCP, Local: ours, Peer: tcp})
	n.run(time.Second)
	n.wantCurrent(tcp)
	n.valid(alpha, 200*ms)
	n.wantCurrent(alpha)
	if i := n.info(tcp); !i.Standby || n.info(relay).Standby {
		t.Errorf("standby is not the TCP path: %v", n.s.Paths())
	}
}
