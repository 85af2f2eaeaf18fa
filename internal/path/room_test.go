package path

import (
	"testing"
	"time"
)

// A path that data uses is sounded at once, then every 10 s while data is sent, and not
// while there is none.
func TestSounding(t *testing.T) {
	n := newRig(t)
	n.s.HandleSource(n.now, n.link, alpha, true)
	n.answer[alpha] = 20 * ms
	n.run(time.Minute)
	if got := n.times(epoch, Sound, alpha); len(got) != 1 || got[0] != 20*ms {
		t.Errorf("sounded at %v, want once, when it was valid", got)
	}
	at := n.now
	n.talk()
	n.run(60 * time.Second)
	if got := len(n.times(at, Sound, alpha)); got < 5 || got > 7 {
		t.Errorf("sounded %d times in a minute of data", got)
	}
	n.wantTimes(at, Recall, nowhere)
}

// When packets of the engine's size no longer pass, and probes do, data moves to a path
// where they do, within the time that a failover may take; and back when they pass again.
func TestNarrow(t *testing.T) {
	n := newRig(t)
	n.tell(beta, 1)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.wantCurrent(beta) // the better kind
	n.narrow[beta] = true
	at := n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.run(time.Second)
	n.wantTimes(at, Use, alpha, 450*ms) // 250 of silence, two soundings
	n.wantTimes(at, Lost, nowhere)
	if i := n.info(beta); i.State != Valid {
		t.Errorf("%v", i.State)
	}
	n.narrow[beta] = false
	n.run(time.Minute)
	n.wantCurrent(beta)
}

// Soundings that are lost with the probes say nothing of the length.
func TestNarrowOrDead(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.answer[alpha] = 0
	n.talk()
	n.run(10 * time.Second)
	n.wantState(alpha, Dead)
	if n.s.current.room == narrow {
		t.Error("a dead path is taken for a narrow one")
	}
}

// If there is no other path the peer is called, and lost when what is sent has not got
// through for LostAfter. If it gets through before, what was sent last is sent again.
func TestNarrowAlone(t *testing.T) {
	for _, back := range []bool{false, true} {
		n := newRig(t)
		n.valid(alpha, 20*ms)
		n.narrow[alpha] = true
		at := n.now
		n.s.Traffic(n.now, Traffic{LastSent: n.now})
		n.busy(2 * time.Minute)
		n.run(20 * time.Second)
		n.wantTimes(at, Recall, nowhere, 450*ms)
		n.wantTimes(at, Lost, nowhere)
		if back {
			n.narrow[alpha] = false
		}
		n.run(40 * time.Second)
		if back {
			n.wantTimes(at, Lost, nowhere)
			if got := n.times(at, Resend, nowhere); len(got) != 1 {
				t.Errorf("sent again at %v", got)
			}
		} else {
			n.wantTimes(at, Lost, nowhere, 450*ms+LostAfter)
		}
	}
}

// A narrow path on which nothing is to be sent is of no concern; when something is, the time
// begins.
func TestNarrowIdle(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.narrow[alpha] = true
	n.s.TooLong(n.now, n.link, alpha)
	at := n.now
	n.run(time.Hour)
	n.wantTimes(at, Lost, nowhere)
	if next := n.s.Next(); !next.IsZero() {
		t.Errorf("a timer runs: %v from now", next.Sub(n.now))
	}
	at = n.now
	n.s.Traffic(n.now, Traffic{LastSent: n.now})
	n.busy(time.Minute)
	n.run(time.Minute)
	if got := n.times(at, Lost, nowhere); len(got) != 1 || got[0] < LostAfter || got[0] > LostAfter+5*time.Second {
		t.Errorf("lost at %v", got)
	}
}

// Where the local network refuses a packet for its length, data goes elsewhere at once.
func TestTooLong(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.valid(beta, 30*ms)
	n.wantCurrent(alpha)
	at := n.now
	n.narrow[alpha] = true
	for range 10 {
		n.s.TooLong(n.now, n.link, alpha)
		n.run(10 * ms)
	}
	n.wantTimes(at, Use, beta, 0)
	n.s.TooLong(n.now, n.link, gamma) // not ours
}

// Short data that gets through on a narrow path keeps the session.
func TestNarrowAndShortData(t *testing.T) {
	n := newRig(t)
	n.valid(alpha, 20*ms)
	n.narrow[alpha] = true
	at := n.now
	for range 120 {
		n.s.Traffic(n.now, Traffic{LastSent: n.now, LastReceived: n.now.Add(-ms)})
		n.run(time.Second)
	}
	if n.s.current.room != narrow {
		t.Error("not taken for narrow")
	}
	n.wantTimes(at, Lost, nowhere)
}
