package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
)

// refuses is an SN that fails each call in a way, after a time.
func refuses(err error, after time.Duration) *fakeSignaller {
	return &fakeSignaller{call: func(ctx context.Context, _ snclient.CallOptions) (*snclient.CallReply, error) {
		select {
		case <-time.After(after):
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// knows is an SN that knows the peer and shows it where f says.
func knows(reply snclient.CallReply) *fakeSignaller {
	return &fakeSignaller{call: func(context.Context, snclient.CallOptions) (*snclient.CallReply, error) {
		r := reply
		return &r, nil
	}}
}

func TestAttemptFails(t *testing.T) {
	never := 24 * time.Hour
	at := func(addr netip.AddrPort) Hints { return Hints{Endpoints: []netip.AddrPort{addr}} }
	for name, tt := range map[string]struct {
		via   []Signaller
		hints Hints
		want  error
		after time.Duration
	}{
		"nothing to try":        {want: ErrNoRoute},
		"not found":             {via: []Signaller{refuses(snclient.ErrNotFound, time.Millisecond)}, want: ErrNotFound, after: firstRound + time.Millisecond},
		"offline":               {via: []Signaller{&fakeSignaller{offline: true}}, want: ErrOffline, after: offlineAfter},
		"silent":                {via: []Signaller{refuses(nil, never)}, want: ErrOffline, after: 15 * time.Second},
		"given up":              {via: []Signaller{refuses(snclient.ErrOffline, 2500*time.Millisecond)}, want: ErrOffline, after: 15 * time.Second},
		"offline, an address":   {via: []Signaller{&fakeSignaller{offline: true}}, hints: at(away), want: ErrOffline, after: offlineAfter},
		"one offline, one not":  {via: []Signaller{&fakeSignaller{offline: true}, refuses(snclient.ErrNotFound, 0)}, want: ErrNotFound, after: 15 * time.Second},
		"too many":              {via: []Signaller{refuses(snclient.ErrTooMany, 0)}, want: ErrOffline, after: firstRound},
		"known, silent":         {via: []Signaller{knows(snclient.CallReply{})}, want: ErrUnreachable, after: 15 * time.Second},
		"an address alone":      {hints: at(away), want: ErrUnreachable, after: 15 * time.Second},
		"an address, not found": {via: []Signaller{refuses(snclient.ErrNotFound, 0)}, hints: at(away), want: ErrNotFound, after: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, true, func(r *rig) {
				r.use(tt.via...)
				start := time.Now()
				err := <-r.dial(tt.hints)
				if !errors.Is(err, tt.want) {
					r.t.Errorf("%v, want %v", err, tt.want)
				}
				if took := time.Since(start); took != tt.after {
					r.t.Errorf("failed after %v, want %v", took, tt.after)
				}
				time.Sleep(20 * time.Second)
				if st := r.p.Status(); st.State != Idle || st.IdleSince.IsZero() {
					r.t.Errorf("afterwards the peer is %v", st.State)
				}
				if n := r.table.Len(); n != 0 {
					r.t.Errorf("%d indices in use after a failed attempt", n)
				}
			})
		})
	}
}

// An SN that has not answered is not asked again meanwhile, and the SNs behind
// the first wait for their turn.
func TestAttemptAsksEachOnce(t *testing.T) {
	inRig(t, true, func(r *rig) {
		slow, second := refuses(nil, time.Hour), refuses(snclient.ErrNotFound, 0)
		r.use(slow, second)
		r.dial(Hints{})
		if second.called() != 0 {
			r.t.Error("the second SN has no patience")
		}
		time.Sleep(fanOut + time.Millisecond)
		if slow.called() != 1 || second.called() != 1 {
			r.t.Errorf("%d and %d calls", slow.called(), second.called())
		}
		time.Sleep(10 * time.Second)
		if slow.called() != 1 || second.called() != 4 { // rounds at 0, 1, 3 and 7 s
			r.t.Errorf("%d and %d calls after 10 s", slow.called(), second.called())
		}
	})
}

// A refusal by the peer is final, and says why.
func TestAttemptRefused(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.dial(r.hints())
		pkt, err := r.initiation().Refuse("we are closed")
		if err != nil {
			r.t.Fatal(err)
		}
		r.control(away, pkt)
		err = <-done
		if !errors.Is(err, ErrRefused) || err.Error() != fmt.Sprintf("%v: %q", ErrRefused, "we are closed") {
			r.t.Errorf("%v", err)
		}
	})
}

// An initiation that is stale is made again above the peer's mark.
func TestAttemptStale(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.dial(r.hints())
		first := r.initiation()
		mark := first.Payload.Stamp + 1_000_000
		pkt, err := first.Stale(mark)
		if err != nil {
			r.t.Fatal(err)
		}
		r.control(away, pkt)
		again := r.initiation()
		if again.Payload.Stamp <= mark {
			r.t.Errorf("stamp %d, mark %d", again.Payload.Stamp, mark)
		}
		pkt, _ = r.accept(again, noise.Accept{})
		r.control(away, pkt)
		r.open(0)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// Without the peer's descriptor its addresses are asked for it, and the
// handshake begins when it comes.
func TestAttemptDescribes(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.dial(Hints{Endpoints: []netip.AddrPort{away}})
		if len(r.asked()) != 1 || r.asked()[0] != away {
			r.t.Errorf("asked %v", r.asked())
		}
		stranger := newDevice(r.t)
		r.p.HandleDescription(stranger.Device())
		synctest.Wait()
		if r.p.Status().Device != nil {
			r.t.Error("believes another's descriptor to be the peer's")
		}
		r.p.HandleDescription(r.remote.Device())
		synctest.Wait()
		pkt, _ := r.accept(r.initiation(), noise.Accept{})
		r.control(away, pkt)
		r.open(0)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// An older descriptor does not replace a newer one.
func TestLearnKeepsTheNewest(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.connect()
		held := r.p.Status().Device
		r.p.HandleDescription(r.remote.Device())
		synctest.Wait()
		if r.p.Status().Device != held {
			r.t.Error("the same version replaced what is held")
		}
	})
}

// A callee that was called without an initiation initiates; one that does not,
// within a second, gets ours.
func TestAttemptWaitsForTheCallee(t *testing.T) {
	inRig(t, true, func(r *rig) {
		sn := knows(snclient.CallReply{Device: r.remote.Device()})
		r.use(sn)
		r.dial(Hints{Endpoints: []netip.AddrPort{away}})
		if n := len(r.link.take(wire.TypeInitiation)); n != 0 {
			r.t.Errorf("%d initiations at once", n)
		}
		time.Sleep(calleeInitiates + time.Millisecond)
		if n := len(r.link.take(wire.TypeInitiation)); n == 0 {
			r.t.Error("no initiation after the callee's second")
		}
	})
}

// The engine's failure to start drops the keys, and the attempt goes on with new
// ones.
func TestSessionDoesNotStart(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.dial(r.hints())
		pkt, _ := r.accept(r.initiation(), noise.Accept{})
		r.control(away, pkt)
		ports := r.engine.all()
		if len(ports) != 1 || ports[0].how() != "dial" {
			r.t.Fatalf("%d ports", len(ports))
		}
		ports[0].open <- session.ErrProtocol
		synctest.Wait()
		if !ports[0].isClosed() {
			r.t.Error("the port is left open")
		}
		time.Sleep(time.Second)
		pkt, _ = r.accept(r.initiation(), noise.Accept{})
		r.control(away, pkt)
		r.open(1)
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	})
}

// An engine that makes no port is no reason to keep keys.
func TestNoPort(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.engine.fail = session.ErrEngineClosed
		done := r.dial(r.hints())
		pkt, _ := r.accept(r.initiation(), noise.Accept{})
		r.control(away, pkt)
		i := r.initiate(noise.Offer{Dialling: true})
		r.incoming(i, away)
		if err := <-done; !errors.Is(err, ErrUnreachable) {
			r.t.Error(err)
		}
	})
}

func TestSessionAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, true, 0)
		r.use(refuses(nil, time.Hour))
		waiting := r.dial(r.hints())
		ctx, cancel := context.WithCancel(context.Background())
		canceled := make(chan error, 1)
		go func() {
			_, err := r.p.Session(ctx, Hints{})
			canceled <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-canceled; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		r.close()
		if err := <-waiting; !errors.Is(err, ErrClosed) {
			t.Errorf("while waiting: %v", err)
		}
		if err := <-r.dial(Hints{}); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if paths, lines := r.p.Explain(); paths != nil || lines != nil {
			t.Error("a closed peer explains itself")
		}
		r.p.HandleDescription(r.remote.Device()) // ends in an inbox that nobody reads
		r.close()
	})
}

// The SNs that a descriptor names are asked before those of a ticket.
func TestServerRefs(t *testing.T) {
	inRig(t, true, func(r *rig) {
		sn := identity.Ref{ID: newDevice(r.t).ID(), Addr: "203.0.113.9:8443"}
		<-r.dial(Hints{SNs: []identity.Ref{sn}})
		done := make(chan []identity.Ref)
		r.p.ask(context.Background(), func(time.Time) { done <- r.p.serverRefs() })
		if refs := <-done; len(refs) != 1 || refs[0] != sn {
			r.t.Errorf("asks %v", refs)
		}
	})
}
