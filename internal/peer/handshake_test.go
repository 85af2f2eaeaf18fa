package peer

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
)

// probe is a sealed message that confirms keys.
func probe(token uint64) []byte {
	m := wire.Probe{Token: token}
	return m.Append(nil)
}

func TestDialled(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.connect()
		st := r.p.Status()
		if st.State != Connected || !st.Client || st.Session == nil || st.Current == nil || st.Current.Remote != away {
			r.t.Errorf("status %+v", st)
		}
		if p := r.engine.all()[0]; p.how() != "dial" {
			r.t.Errorf("the dialler's engine does %q", p.how())
		}
		again, err := r.p.Session(context.Background(), Hints{})
		if err != nil || again != st.Session {
			r.t.Errorf("a second dial: %v, %v", again, err)
		}
	})
}

// An initiation earns a response and tentative keys, and nothing else: no
// session before a sealed packet.
func TestAnswered(t *testing.T) {
	inRig(t, true, func(r *rig) {
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, away)
		assoc := r.response(i).Association
		if len(r.sessions()) != 0 || r.p.Status().State == Connected {
			r.t.Error("a session on tentative keys")
		}
		if len(r.answered) != 1 {
			r.t.Errorf("%d responses are remembered for copies", len(r.answered))
		}
		r.seal(assoc, away, probe(1))
		r.open(0)
		if p := r.engine.all()[0]; p.how() != "accept" {
			r.t.Errorf("the called end's engine does %q", p.how())
		}
		if st := r.p.Status(); st.State != Connected || st.Client {
			r.t.Errorf("status %+v", st)
		}
	})
}

// Tentative keys that nobody confirms go after 10 s, with all that came of them.
func TestTentativeExpires(t *testing.T) {
	inRig(t, true, func(r *rig) {
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, away)
		assoc := r.response(i).Association
		if r.p.Status().State != Connecting {
			r.t.Errorf("state %v", r.p.Status().State)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if n := r.table.Len(); n != 0 {
			r.t.Errorf("%d indices in use", n)
		}
		if !r.engine.all()[0].isClosed() {
			r.t.Error("the port is open")
		}
		if st := r.p.Status(); st.State != Idle {
			r.t.Errorf("state %v", st.State)
		}
		r.seal(assoc, away, probe(1))
		if len(r.sessions()) != 0 || r.p.Status().State != Idle {
			r.t.Error("confirmed too late")
		}
	})
}

// Each copy of an initiation gets the same response, at its own source; a
// refused one makes no keys.
func TestRepeatedAndRefused(t *testing.T) {
	inRig(t, true, func(r *rig) {
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, away)
		r.incoming(i, other)
		list := r.link.take(wire.TypeResponse)
		where := map[netip.AddrPort]string{}
		for _, s := range list {
			where[s.to] = string(s.b)
		}
		if where[away] == "" || where[away] != where[other] {
			r.t.Errorf("responses differ, or one is missing: %d", len(where))
		}
		if n := len(r.engine.all()); n != 1 {
			r.t.Errorf("%d ports for one initiation", n)
		}
		time.Sleep(20 * time.Second)

		unknown := r.initiate(noise.Offer{Dialling: true, Engines: []wire.Engine{wire.EngineYamux}})
		r.incoming(unknown, away)
		if a := r.response(unknown); a.Payload.Kind != wire.ResponseRefused || len(a.Payload.Early) == 0 {
			r.t.Errorf("no engine in common: %+v", a.Payload)
		}
		if n := r.table.Len(); n != 0 {
			r.t.Errorf("%d indices for a refused handshake", n)
		}
	})
}

// A stamp below the mark earns a stale response and no keys.
func TestStaleInitiation(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.initiate(noise.Offer{Dialling: true})
		time.Sleep(time.Second)
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, away)
		r.link.clear()
		r.incoming(old, away)
		if a := r.response(old); a.Payload.Kind != wire.ResponseStale || a.Payload.Stamp != i.Stamp() {
			r.t.Errorf("%+v", a.Payload)
		}
		if n := len(r.engine.all()); n != 1 {
			r.t.Errorf("%d ports", n)
		}
	})
}

// Both initiate. With the lower id ours stands, the peer's source is tried with
// it, and no keys are made of the peer's; with the higher id it is the other
// way round. There is one session, and both ends agree on who dials it.
func TestGlare(t *testing.T) {
	for _, lower := range []bool{true, false} {
		inRig(t, lower, func(r *rig) {
			done := r.dial(r.hints())
			ours := r.initiation()
			theirs := r.initiate(noise.Offer{Dialling: true})
			r.incoming(theirs, other)
			var assoc *noise.Association
			if lower {
				if n := len(r.link.take(wire.TypeResponse)); n != 0 {
					r.t.Errorf("%d responses of the winner", n)
				}
				tried := false
				for _, s := range r.link.take(wire.TypeInitiation) {
					tried = tried || s.to == other
				}
				if !tried {
					r.t.Error("our initiation was not sent to where the loser's came from")
				}
				var pkt []byte
				pkt, assoc = r.accept(ours, noise.Accept{Dialling: true})
				r.control(away, pkt)
			} else {
				assoc = r.response(theirs).Association
				r.seal(assoc, other, probe(1))
			}
			synctest.Wait()
			r.open(len(r.engine.all()) - 1)
			if err := <-done; err != nil {
				r.t.Error(err)
			}
			st := r.p.Status()
			if len(r.sessions()) != 1 || st.Client == assoc.Client() || st.Client != lower {
				r.t.Errorf("lower %v: %d sessions, client %v, the other end %v", lower, len(r.sessions()), st.Client, assoc.Client())
			}
		})
	}
}

// A forged hint brings about a handshake. If the peer still has the session it
// goes on: same port, same session, same lane; the keys are new.
func TestHintGoesOn(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.connect()
		r.link.clear()
		before := r.p.Status().Session
		wrong := wire.Hint{Receiver: old.LocalIndex() + 1}
		r.p.HandleHint(wrong)
		synctest.Wait()
		if len(r.link.take(wire.TypeInitiation)) != 0 {
			r.t.Error("a hint for another index begins a handshake")
		}
		hint := wire.Hint{Receiver: old.LocalIndex()}
		for range 50 {
			r.p.HandleHint(hint)
		}
		synctest.Wait()
		in := r.initiation()
		if in.Payload.Rekeys != old.SessionID() {
			r.t.Errorf("rekeys session %d, want %d", in.Payload.Rekeys, old.SessionID())
		}
		pkt, assoc := r.accept(in, noise.Accept{GoesOn: true})
		r.control(away, pkt)
		if assoc.SessionID() != old.SessionID() {
			r.t.Error("another session")
		}
		if n := len(r.engine.all()); n != 1 || r.engine.all()[0].isClosed() {
			r.t.Errorf("%d ports", n)
		}
		if r.p.Status().Session != before || len(r.causes()) != 0 {
			r.t.Error("the session has ended")
		}
		if n := r.reply(assoc); n == 0 {
			r.t.Error("nothing is sealed under the new keys")
		}
		if l := r.link.route(away); l == nil || l != r.p.live.Load().lane {
			r.t.Error("engine packets no longer reach the session")
		}
		// The attempt is over: nobody shakes hands again and again.
		r.link.clear()
		r.alive(assoc, 20*time.Second)
		if n := len(r.link.take(wire.TypeInitiation)); n != 0 {
			r.t.Errorf("%d more initiations", n)
		}
		if n := r.table.Len(); n != 1 {
			r.t.Errorf("%d indices after the old keys' time", n)
		}
	})
}

// A peer that has lost the session, by a restart, gets a new one, and the old
// one ends with the cause named.
func TestHintRestarted(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.connect()
		r.link.clear()
		r.p.HandleHint(wire.Hint{Receiver: old.LocalIndex()})
		synctest.Wait()
		in := r.initiation()
		if len(r.causes()) != 0 {
			r.t.Error("the session ended before the new keys were there")
		}
		pkt, assoc := r.accept(in, noise.Accept{})
		r.control(away, pkt)
		r.reply(assoc)
		r.open(1)
		if len(r.causes()) != 1 || !errors.Is(r.causes()[0], ErrRestarted) {
			r.t.Errorf("ended with %v", r.causes())
		}
		ports := r.engine.all()
		if len(ports) != 2 || !ports[0].isClosed() || ports[1].isClosed() {
			r.t.Errorf("%d ports", len(ports))
		}
		if r.link.route(away) != r.p.live.Load().lane {
			r.t.Error("engine packets go to the old session")
		}
	})
}

// A peer that restarted and calls replaces its session as soon as it confirms,
// and not before.
func TestPeerRestarts(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.connect()
		time.Sleep(3 * time.Second) // glare is over
		r.link.clear()
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, other)
		assoc := r.response(i).Association
		if len(r.causes()) != 0 || r.p.Status().State != Connected {
			r.t.Error("the session ended by an initiation alone")
		}
		r.seal(assoc, other, probe(1))
		r.open(1)
		if len(r.causes()) != 1 || !errors.Is(r.causes()[0], ErrRestarted) {
			r.t.Errorf("ended with %v", r.causes())
		}
		if st := r.p.Status(); st.Client || st.State != Connected {
			r.t.Errorf("%+v", st)
		}
	})
}

// The peer's rekey of a session that is held here goes on with it.
func TestPeerRekeys(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.connect()
		r.seal(old, away, probe(1)) // so that the peer is known to hold the keys
		time.Sleep(3 * time.Second)
		r.link.clear()
		i := r.initiate(noise.Offer{Rekeys: old.SessionID()})
		r.incoming(i, away)
		a := r.response(i)
		if !a.Payload.GoesOn {
			r.t.Fatal("does not go on")
		}
		r.seal(a.Association, away, probe(2))
		if len(r.engine.all()) != 1 || len(r.causes()) != 0 {
			r.t.Error("the session was replaced")
		}
		opened := 0
		for _, s := range r.link.take(wire.TypeSealed) {
			if _, err := a.Association.Open(nil, s.b, time.Now()); err == nil {
				opened++
			}
		}
		if opened == 0 {
			r.t.Error("nothing is sealed under the new keys")
		}
	})
}

// Engine packets right behind a response are held until the keys exist, and
// delivered in order.
func TestEarlyPackets(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.dial(r.hints())
		pkt, _ := r.accept(r.initiation(), noise.Accept{})
		hold := make(chan struct{})
		r.p.ask(context.Background(), func(time.Time) { <-hold }) // the owner is busy
		r.p.HandleControl(r.link, pkt, away)
		sink := r.link.route(away)
		if sink == nil {
			r.t.Fatal("no route behind the response")
		}
		sink.Deliver([]byte("first"), 0, 0)
		sink.Deliver([]byte("second"), 0, 0)
		close(hold)
		synctest.Wait()
		r.link.route(away).Deliver([]byte("third"), 0, 0)
		sink.Deliver([]byte("fourth"), 0, 0) // by a reader that looked the route up before
		got := r.engine.all()[0].got()
		if len(got) != 4 || got[0] != "first" || got[1] != "second" || got[2] != "third" || got[3] != "fourth" {
			r.t.Errorf("delivered %q", got)
		}
	})
}

// A forged response takes no route from the live session, and leaves none.
func TestForgedResponse(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.connect()
		r.link.clear()
		r.p.HandleHint(wire.Hint{Receiver: old.LocalIndex()})
		synctest.Wait()
		in := r.initiation()
		m := wire.Response{Sender: 5, Receiver: in.Index, Noise: make([]byte, 200)}
		for range 3 {
			r.control(away, m.Append(nil))
			r.control(other, m.Append(nil))
			r.link.route(away).Deliver([]byte("data"), 0, 0)
		}
		if got := r.engine.all()[0].got(); len(got) != 3 {
			r.t.Errorf("the session got %d of 3 packets", len(got))
		}
		time.Sleep(30 * time.Second) // the handshake is given up
		synctest.Wait()
		if r.p.Status().State == Connected {
			if l := r.link.route(away); l != r.p.live.Load().lane {
				r.t.Errorf("the route leads to %T", l)
			}
		}
	})
}

// A cookie is answered with the initiation that carries it, to its source only.
func TestCookie(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.dial(r.hints())
		in := r.initiation()
		forged := wire.CookieReply{Receiver: in.Index}
		r.control(away, forged.Append(nil))
		if n := len(r.link.take(wire.TypeInitiation)); n != 0 {
			r.t.Errorf("%d initiations for a forged cookie", n)
		}
	})
}

// Called by way of an SN with an initiation, the response goes back the same
// way; called with a device, the peer gets an initiation that way.
func TestCalled(t *testing.T) {
	seen := []wire.Candidate{{Kind: wire.CandidateServerReflexive, Addr: away}}
	t.Run("with an initiation", func(t *testing.T) {
		inRig(t, true, func(r *rig) {
			sn := knows(snclient.CallReply{})
			i := r.initiate(noise.Offer{Dialling: true})
			in, err := r.local.ReadInitiation(i.Packet())
			if err != nil {
				r.t.Fatal(err)
			}
			r.p.HandleCalled(Call{Via: sn, Incoming: in, Candidates: seen, Punch: time.Now()})
			synctest.Wait()
			signals := sn.take()
			if len(signals) != 1 {
				r.t.Fatalf("%d signals", len(signals))
			}
			a, err := i.ReadResponse(signals[0])
			if err != nil {
				r.t.Fatal(err)
			}
			if n := len(r.link.take(wire.TypeOpener)); n != 1 {
				r.t.Errorf("%d openers to where the SN sees the peer", n)
			}
			r.seal(a.Association, other, probe(1))
			r.open(0)
			if r.p.Status().State != Connected {
				r.t.Error("no session")
			}
		})
	})
	t.Run("with a device", func(t *testing.T) {
		inRig(t, true, func(r *rig) {
			sn := knows(snclient.CallReply{})
			r.p.HandleCalled(Call{Via: sn, Device: r.remote.Device(), Candidates: seen, Punch: time.Now()})
			synctest.Wait()
			signals := sn.take()
			if len(signals) != 1 {
				r.t.Fatalf("%d signals", len(signals))
			}
			in, err := r.remote.ReadInitiation(signals[0])
			if err != nil {
				r.t.Fatal(err)
			}
			if in.Payload.Dialling {
				r.t.Error("the callee says that it dials")
			}
			time.Sleep(100 * time.Millisecond) // the path to away exists by now
			pkt, assoc := r.accept(in, noise.Accept{Dialling: true})
			r.p.HandleResponse(nil, pkt, netip.AddrPort{}) // by way of the SN
			synctest.Wait()
			if assoc.Client() == r.p.clientOfCurrent() {
				r.t.Error("both ends dial, or none")
			}
			r.open(0)
			if st := r.p.Status(); st.State != Connected || st.Client {
				r.t.Errorf("%+v", st)
			}
		})
	})
}

// clientOfCurrent asks the owner.
func (p *Peer) clientOfCurrent() (client bool) {
	done := make(chan struct{})
	p.ask(context.Background(), func(time.Time) {
		client = p.current != nil && p.current.conn.client
		close(done)
	})
	<-done
	return client
}

// Keys that come by way of an SN: the first flight goes to where the SN sees the
// peer, and nowhere if it sees it nowhere.
func TestGuess(t *testing.T) {
	for _, observed := range []bool{false, true} {
		inRig(t, true, func(r *rig) {
			reply := snclient.CallReply{Device: r.remote.Device()}
			kind := wire.CandidateHost
			if observed {
				kind = wire.CandidateServerReflexive
			}
			reply.Candidates = []wire.Candidate{{Kind: kind, Addr: away}}
			r.use(knows(reply))
			r.dial(Hints{Device: r.remote.Device()})
			time.Sleep(500 * time.Millisecond)
			pkt, _ := r.accept(r.initiation(), noise.Accept{})
			r.p.HandleResponse(nil, pkt, netip.AddrPort{})
			synctest.Wait()
			done := make(chan *route, 1)
			r.p.ask(context.Background(), func(time.Time) { done <- r.p.current.conn.lane.route.Load() })
			to := <-done
			if observed && (to == nil || to.addr != away) {
				r.t.Errorf("the first flight goes to %+v", to)
			}
			if !observed && to != nil {
				r.t.Errorf("guessed %v, which no SN saw", to.addr)
			}
		})
	}
}
