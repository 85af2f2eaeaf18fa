package peer

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// steerTo points the current connection somewhere.
func (r *rig) steerTo(to netip.AddrPort) {
	done := make(chan struct{})
	r.p.ask(context.Background(), func(now time.Time) {
		r.p.steer(now, r.p.current.conn, source{r.link, to})
		close(done)
	})
	<-done
}

// The engine is told of each change of path once, and of nothing else.
func TestPathChangedOnce(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.connect()
		port := r.engine.all()[0]
		before := port.pathChanges()
		for _, step := range []struct {
			to   netip.AddrPort
			want int
		}{{away, 0}, {other, 1}, {other, 1}, {away, 2}, {away, 2}} {
			r.steerTo(step.to)
			if n := port.pathChanges() - before; n != step.want {
				t.Errorf("at %v: told %d times, want %d", step.to, n, step.want)
			}
			r.link.clear()
			port.carrier.WritePackets([]byte{0x40}, 0, 0)
			r.link.mu.Lock()
			if l := r.link.sent; len(l) != 1 || l[0].to != step.to {
				t.Errorf("a packet went to %v, want %v", l, step.to)
			}
			r.link.mu.Unlock()
		}
		if r.link.route(other) == nil {
			t.Error("an answer from the new path would be dropped")
		}
	})
}

// The client follows a packet of the peer to a better place, by probes; a
// source that is not answered does not take the data.
func TestSourceDoesNotTakeData(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		r.alive(a, time.Second)
		r.seal(a, other, probe(7))
		time.Sleep(10 * time.Second) // other is silent; so is away
		if st := r.p.Status(); st.Current != nil && st.Current.Remote == other {
			t.Error("data goes to a source that never answered")
		}
	})
}

// The peer's goodbye ends the session at once; one under keys of the past, or
// of another connection, does not.
func TestGoodbye(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		s := r.p.Status().Session
		m := wire.Goodbye{Reason: "so long"}
		i := r.initiate(noise.Offer{Dialling: true})
		time.Sleep(3 * time.Second)
		r.incoming(i, other) // tentative keys of another session
		r.seal(a, away, m.Append(nil))
		if len(r.causes()) != 1 || !errors.Is(r.causes()[0], ErrGone) {
			t.Errorf("ended with %v", r.causes())
		}
		if s.Err() == nil {
			t.Error("the engine's session lives")
		}
		if r.lines("the peer said goodbye: so long") != 1 {
			t.Error("the record does not say so")
		}
		r.seal(a, away, m.Append(nil)) // keys that are gone
		if len(r.causes()) != 1 {
			t.Error("ended twice")
		}
	})
}

// Close says goodbye over the current path.
func TestCloseSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true, time.Second)
		a := r.connect()
		r.link.clear()
		r.close()
		for _, s := range r.link.take(wire.TypeSealed) {
			if msg, err := a.Open(nil, s.b, time.Now()); err == nil && wire.MessageType(msg[0]) == wire.MsgGoodbye {
				if s.to != away {
					t.Errorf("goodbye to %v", s.to)
				}
				if len(r.causes()) != 1 || !errors.Is(r.causes()[0], ErrClosed) {
					t.Errorf("ended with %v", r.causes())
				}
				return
			}
		}
		t.Error("no goodbye")
	})
}

// The engine's end of the session is the peer's: the keys go, the next dial
// makes new ones.
func TestEngineEnds(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.connect()
		cause := errors.New("broken")
		r.engine.all()[0].session.end(cause)
		synctest.Wait()
		if len(r.causes()) != 1 || !errors.Is(r.causes()[0], cause) {
			t.Errorf("ended with %v", r.causes())
		}
		if st := r.p.Status(); st.State != Idle || st.Session != nil {
			t.Errorf("%+v", st)
		}
		if n := r.table.Len(); n != 0 {
			t.Errorf("%d indices in use", n)
		}
		r.link.clear()
		done := r.dial(r.hints())
		time.Sleep(100 * time.Millisecond)
		pkt, _ := r.accept(r.initiation(), noise.Accept{})
		r.control(away, pkt)
		r.open(1)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A peer that goes silent while data is outstanding is lost after 30 s, and
// asked for by way of the SNs meanwhile.
func TestLost(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		r.alive(a, time.Second)
		sn := refuses(errors.New("no"), 0)
		r.use(sn)
		for range 5 { // the engine repeats what is not acknowledged
			r.engine.all()[0].carrier.WritePackets([]byte{0x40}, 0, 0)
			time.Sleep(5 * time.Second)
		}
		if len(r.causes()) != 0 {
			t.Fatalf("ended early: %v", r.causes())
		}
		if sn.called() == 0 {
			t.Error("no super node was asked")
		}
		time.Sleep(10 * time.Second)
		if len(r.causes()) != 1 || !errors.Is(r.causes()[0], ErrLost) {
			t.Errorf("ended with %v", r.causes())
		}
		time.Sleep(time.Minute)
		if n := r.table.Len(); n != 0 || r.p.Status().State != Idle {
			t.Errorf("%d indices in use, %v", n, r.p.Status().State)
		}
	})
}

// Addresses that the peer tells in the session are tried.
func TestCandidates(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		r.link.clear()
		m := wire.Candidates{List: []wire.Candidate{{Kind: wire.CandidateHost, Addr: other}}}
		r.seal(a, away, m.Append(nil))
		time.Sleep(time.Second)
		tried := false
		for _, s := range r.link.take(wire.TypeSealed) {
			tried = tried || s.to == other
		}
		if !tried {
			t.Error("the candidate was not tried")
		}
	})
}

// A packet that nobody can open, of any type, leaves no route and costs no
// event.
func TestGarbageControl(t *testing.T) {
	inRig(t, true, func(r *rig) {
		a := r.connect()
		routes := r.link.routeCount()
		sealed, err := a.Seal(nil, probe(1), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sealed[len(sealed)-1] ^= 1
		hint, cookie := wire.Hint{Receiver: 1}, wire.CookieReply{Receiver: 1}
		for _, b := range [][]byte{nil, {0x23}, sealed, hint.Append(nil), cookie.Append(nil), make([]byte, 1200), {byte(wire.TypeResponse), 1, 0, 0}} {
			r.control(other, b)
			for n := range b {
				r.control(other, b[:n])
			}
		}
		if n := r.link.routeCount(); n != routes {
			t.Errorf("%d routes, %d before", n, routes)
		}
	})
}
