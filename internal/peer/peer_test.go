package peer

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// What the network sends beyond the inbox is dropped and counted; the reader
// never waits. What must not be lost waits.
func TestInboxOverflow(t *testing.T) {
	inRig(t, true, func(r *rig) {
		hold := make(chan struct{})
		r.p.ask(context.Background(), func(time.Time) { <-hold })
		synctest.Wait()
		ran := 0
		for range inboxSize + 100 {
			r.p.post(func(time.Time) { ran++ })
		}
		if n := r.p.overflow.Load(); n != 100 {
			t.Errorf("%d dropped, want 100", n)
		}
		asked := make(chan bool)
		go func() {
			r.p.ask(context.Background(), func(time.Time) {})
			close(asked)
		}()
		ctx, cancel := context.WithCancel(context.Background())
		gaveUp := make(chan bool, 1)
		go func() { gaveUp <- r.p.ask(ctx, func(time.Time) { t.Error("ran though its asker gave up") }) }()
		synctest.Wait()
		cancel()
		if <-gaveUp {
			t.Error("asked after its context had ended")
		}
		close(hold)
		<-asked
		synctest.Wait()
		if ran != inboxSize {
			t.Errorf("%d ran, want %d", ran, inboxSize)
		}
	})
}

// wakeups counts how often the owner runs in a time, to 10 ms: it publishes a
// new status after each event.
func (r *rig) wakeups(d time.Duration) (n int) {
	last := r.p.status.Load()
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if st := r.p.status.Load(); st != last {
			n, last = n+1, st
		}
	}
	return n
}

// No timer spins: a peer with nothing to do does nothing, and one with an idle
// session probes until it is dormant.
func TestIdlePeerSleeps(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.wakeups(time.Minute) // links were added
		if n := r.wakeups(time.Hour); n > 1 {
			t.Errorf("a peer that nobody wants woke %d times in an hour", n)
		}
		a := r.connect()
		r.alive(a, 5*time.Minute)
		before := r.link.count()
		if n := r.wakeups(time.Hour); n > 5 {
			t.Errorf("an idle session woke its peer %d times in an hour", n)
		}
		if n := r.link.count() - before; n != 0 {
			t.Errorf("an idle session sent %d packets", n)
		}
		// A word from the engine wakes it.
		r.engine.all()[0].carrier.WritePackets([]byte{0x40}, 0, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		if n := r.link.count() - before; n < 2 {
			t.Errorf("after a packet of data %d packets were sent: no probe beside it", n)
		}
	})
}

// After a failed attempt there is no timer left.
func TestFailedPeerSleeps(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.use(refuses(context.DeadlineExceeded, 0))
		<-r.dial(r.hints())
		time.Sleep(5 * time.Minute)
		r.link.clear()
		if n := r.wakeups(time.Hour); n > 5 {
			t.Errorf("woke %d times in an hour", n)
		}
		if n := r.link.count(); n != 0 {
			t.Errorf("sent %d packets", n)
		}
	})
}

// Close at every stage waits for the workers and lets go of everything; rig's
// close checks that.
func TestCloseAtEveryStage(t *testing.T) {
	stages := map[string]func(r *rig){
		"new":     func(*rig) {},
		"calling": func(r *rig) { r.use(refuses(nil, time.Hour)); r.dial(r.hints()) },
		"starting": func(r *rig) {
			r.dial(r.hints())
			pkt, _ := r.accept(r.initiation(), noise.Accept{})
			r.control(away, pkt)
			if r.engine.all()[0].how() == "" {
				r.t.Error("the engine was not asked")
			}
		},
		"open": func(r *rig) { r.connect() },
		"rekeying": func(r *rig) {
			r.p.HandleHint(wire.Hint{Receiver: r.connect().LocalIndex()})
			synctest.Wait()
		},
		"answering": func(r *rig) {
			i := r.initiate(noise.Offer{Dialling: true})
			r.incoming(i, away)
		},
		"with routes": func(r *rig) {
			a := r.connect()
			for i := range 100 {
				r.seal(a, netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), 9), probe(uint64(i)))
			}
			if n := r.link.routeCount(); n > maxRoutes {
				r.t.Errorf("%d routes", n)
			}
			if paths, _ := r.p.Explain(); len(paths) > 32 {
				r.t.Errorf("%d paths", len(paths))
			}
		},
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			inRig(t, true, func(r *rig) {
				stage(r)
				r.p.Close()
				r.p.Close()
			})
		})
	}
}

// A packet that a reader still holds when the peer is closed leaves no route.
func TestPacketAfterClose(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		ch := r.p.channels.get(a.RemoteIndex())
		if ch == nil {
			t.Fatal("no channel")
		}
		sealed, err := a.Seal(nil, probe(3), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r.p.Close()
		r.control(other, sealed)
	})
}

// The record is bounded, and the oldest lines go first.
func TestRecord(t *testing.T) {
	var r record
	for i := range 3 * maxRecord {
		r.add(time.Unix(int64(i), 0), "line")
	}
	e := r.entries()
	if len(e) != maxRecord || e[0].Time.Unix() != 2*maxRecord {
		t.Errorf("%d lines from %v", len(e), e[0].Time.Unix())
	}
}

func TestEarliest(t *testing.T) {
	var never time.Time
	a, b := time.Unix(1, 0), time.Unix(2, 0)
	for _, tt := range []struct{ x, y, want time.Time }{
		{never, never, never}, {a, never, a}, {never, a, a}, {a, b, a}, {b, a, a},
	} {
		if got := earliest(tt.x, tt.y); !got.Equal(tt.want) {
			t.Errorf("earliest(%v, %v) = %v", tt.x, tt.y, got)
		}
	}
}

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Idle: "idle", Connecting: "connecting", Connected: "connected"} {
		if s.String() != want {
			t.Errorf("%d is %q", s, s)
		}
	}
}
