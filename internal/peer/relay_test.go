package peer

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
)

// A fakeRelay is a binding that a test makes ready, or ends.
type fakeRelay struct {
	Relay
	link        *fakeLink
	ready, done chan struct{}
	mu          sync.Mutex
	err         error
	idle        bool
	closes      atomic.Int32
}

func newFakeRelay(n byte, begun bool) *fakeRelay {
	f := &fakeRelay{link: newFakeLink(), ready: make(chan struct{}), done: make(chan struct{})}
	addr := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0xfd, n}), 1)
	f.Relay = Relay{
		Info:  path.LinkInfo{Link: Link(f.link), Transport: path.TransportRelay, Local: addr, Peer: addr},
		Name:  wire.Relay{PN: identity.ID{n}, Tag: wire.Tag{n}},
		Ready: f.ready,
		Done:  f.done,
		Begun: begun,
		Err: func() error {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.err
		},
		Idle:  func() bool { return f.idle },
		Close: func() { f.end(errors.New("closed"), false); f.closes.Add(1) },
	}
	f.Alive = func() bool { return f.Err() == nil }
	return f
}

func (f *fakeRelay) end(err error, idle bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err, f.idle = err, idle
		close(f.done)
	}
}

// relay has the peer use relays, one after the other.
func (r *rig) relay(list ...*fakeRelay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.relays = list
}

// nextRelay takes the next relay that is not at one of some PNs.
func (r *rig) nextRelay(not []identity.ID) *Relay {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = not
	if len(r.relays) == 0 {
		return nil
	}
	f := r.relays[0]
	r.relays = r.relays[1:]
	return &f.Relay
}

// refusals are the PNs that the last relay was not to be at.
func (r *rig) refusals() []identity.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// named is an SN that knows the peer, and keeps what relays calls have named.
func named(names chan<- *wire.Relay) *fakeSignaller {
	return &fakeSignaller{call: func(_ context.Context, o snclient.CallOptions) (*snclient.CallReply, error) {
		names <- o.Relay
		return &snclient.CallReply{}, nil
	}}
}

// relayed returns the paths over relays.
func (r *rig) relayed() (n int) {
	paths, _ := r.p.Explain()
	for _, i := range paths {
		if i.Kind == path.Relayed {
			n++
		}
	}
	return n
}

// An attempt binds, names that in its calls, and makes a path of it when the peer has come; what
// is refused is replaced, by way of another PN.
func TestRelayOfAnAttempt(t *testing.T) {
	inRig(t, true, func(r *rig) {
		first, second := newFakeRelay(1, true), newFakeRelay(2, true)
		r.relay(first, second)
		names := make(chan *wire.Relay, 16)
		r.use(named(names))
		go r.p.Session(context.Background(), Hints{Device: r.remote.Device()})
		synctest.Wait()
		if name := <-names; name == nil || *name != first.Name {
			t.Errorf("the call names %v", name)
		}
		if r.relayed() != 0 {
			t.Error("a path before the peer has come")
		}
		first.end(errors.New("refused"), false)
		synctest.Wait()
		if name := <-names; name == nil || *name != second.Name || first.closes.Load() != 1 || !slices.Equal(r.refusals(), []identity.ID{first.Name.PN}) {
			t.Errorf("then %v, not %v", name, r.refusals())
		}
		close(second.ready)
		synctest.Wait()
		if r.relayed() != 1 {
			t.Error("no path when the peer has come")
		}
		second.link.mu.Lock()
		knocks := len(second.link.sent)
		second.link.mu.Unlock()
		if knocks == 0 {
			t.Error("it is not knocked at")
		}
		// The attempt fails, and nothing is left.
		time.Sleep(time.Minute)
		synctest.Wait()
		if second.closes.Load() != 1 || r.relayed() != 0 {
			t.Errorf("closed %d times, %d paths", second.closes.Load(), r.relayed())
		}
	})
}

// Who is called joins, once, and may send at once; of a relay that slept the path stays until
// there is another.
func TestRelayOfACall(t *testing.T) {
	inRig(t, true, func(r *rig) {
		first, second := newFakeRelay(1, true), newFakeRelay(2, true)
		r.relay(first)
		via := knows(snclient.CallReply{})
		call := func(f *fakeRelay) {
			r.p.HandleCalled(Call{Via: via, Device: r.remote.Device(), Relay: &f.Name})
			synctest.Wait()
		}
		call(first)
		if r.relayed() != 1 {
			t.Fatalf("%d paths", r.relayed())
		}
		first.end(errors.New("idle"), true)
		synctest.Wait()
		if r.relayed() != 1 {
			t.Error("the path of a relay that sleeps is gone")
		}
		r.relay(second)
		call(second)
		if r.relayed() != 1 || first.closes.Load() != 1 {
			t.Errorf("%d paths, the first was closed %d times", r.relayed(), first.closes.Load())
		}
		second.end(errors.New("the peer left"), false)
		synctest.Wait()
		if r.relayed() != 0 || second.closes.Load() != 1 {
			t.Errorf("%d paths, closed %d times", r.relayed(), second.closes.Load())
		}
	})
}

// Calls that name one relay after the other, which whoever passes for an SN can forge, take
// nothing from the relay that carries the session, nor stay longer than it takes the peer
// to come.
func TestRelayFlood(t *testing.T) {
	inRig(t, true, func(r *rig) {
		via := knows(snclient.CallReply{})
		call := func(f *fakeRelay) {
			r.relay(f)
			r.p.HandleCalled(Call{Via: via, Device: r.remote.Device(), Relay: &f.Name})
			synctest.Wait()
		}
		assoc := r.connect()
		good := newFakeRelay(1, true)
		call(good)
		close(good.ready)
		synctest.Wait()
		var last *fakeRelay
		for n := range byte(20) {
			last = newFakeRelay(2+n, true)
			call(last)
		}
		if good.closes.Load() != 0 || last.closes.Load() != 0 {
			t.Errorf("closed: the good one %d times, the last %d", good.closes.Load(), last.closes.Load())
		}
		r.alive(assoc, time.Minute)
		if good.closes.Load() != 0 || last.closes.Load() != 1 {
			t.Errorf("after a minute closed: the good one %d times, the last %d", good.closes.Load(), last.closes.Load())
		}
	})
}

// A stranger who is called back is not looked for at the PNs that he names.
func TestRelayOfAStranger(t *testing.T) {
	inRig(t, true, func(r *rig) {
		old := r.remote.Device()
		body := old.Body()
		body.Updated, body.PNs = old.Updated()+1, []identity.Ref{{ID: r.remote.ID(), Addr: "203.0.113.66:9999"}}
		d, err := old.Update(r.secret, body)
		if err != nil {
			t.Fatal(err)
		}
		r.relay(newFakeRelay(1, true))
		via := knows(snclient.CallReply{})
		r.use(via)
		for range 3 {
			r.p.HandleCalled(Call{Via: via, Device: d})
			synctest.Wait()
			time.Sleep(time.Second)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.offered) != 0 {
			t.Errorf("he may have us look at %v", r.offered)
		}
	})
}

// A relay that carries nothing, whatever its PN says, is not all that is tried.
func TestRelayThatDoesNotForward(t *testing.T) {
	inRig(t, true, func(r *rig) {
		first, second := newFakeRelay(1, true), newFakeRelay(2, true)
		r.relay(first, second)
		names := make(chan *wire.Relay, 16)
		r.use(named(names))
		go r.p.Session(context.Background(), Hints{Device: r.remote.Device()})
		synctest.Wait()
		close(first.ready)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		var name *wire.Relay
		for len(names) > 0 {
			name = <-names
		}
		if name == nil || *name != second.Name || first.closes.Load() != 0 {
			t.Errorf("after 5 s the calls name %v", name)
		}
		time.Sleep(time.Minute)
	})
}
