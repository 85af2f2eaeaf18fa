package peer

import (
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/wire"
)

// A Relay is a binding with the peer at a PN, begun and perhaps not ready yet
// (docs/spec/relay.md §2). It is a link that reaches the peer alone.
type Relay struct {
	Info  path.LinkInfo // of transport relay
	Name  wire.Relay    // by which the peer joins it
	Ready <-chan struct{}
	Done  <-chan struct{} // closed when it is over, by itself or by Close
	Err   func() error    // why it is over
	Begun bool            // what is sent is forwarded from now on, if the peer has bound before
	Idle  func() bool     // whether it is over for want of traffic
	Alive func() bool     // whether its PN answers, as far as is known
	Close func()          // does not wait

	ours   bool      // we began it
	linked bool      // the paths know it
	until  time.Time // when to give it up if the peer has not come
}

// maxRelays bounds the relays of a peer: one that we began, one that the peer did, and
// those that they replace.
const maxRelays = 4

// relayPatience is how long the peer has to come to a relay, once nobody waits for a session.
const relayPatience = 30 * time.Second

// expireRelays gives up the relays to which the peer has not come.
func (p *Peer) expireRelays(now time.Time) {
	for _, r := range slices.Clone(p.relays) {
		switch {
		case r.linked:
		case p.attempt != nil:
			r.until = now.Add(relayPatience)
		case !now.Before(r.until):
			p.note(now, "the peer has not come to proxy node "+r.Name.PN.Short())
			p.dropRelay(now, r)
		}
	}
}

// relaysDue is when expireRelays is; zero: never, or not before the attempt is over.
func (p *Peer) relaysDue() (next time.Time) {
	for _, r := range p.relays {
		if !r.linked && p.attempt == nil {
			next = earliest(next, r.until)
		}
	}
	return next
}

// openRelay begins a relay for the calls of an attempt to name, unless there is one whose PN
// answers, or may yet.
func (p *Peer) openRelay(now time.Time) {
	if slices.ContainsFunc(p.relays, func(r *Relay) bool { return r.ours && r.Alive() }) {
		return
	}
	var refs []identity.Ref
	if p.device != nil {
		refs = p.device.PNs()
	}
	r := p.cfg.Host.OpenRelay(p.cfg.ID, refs, p.refusing)
	if r == nil {
		p.refusing = nil // those that have refused may have room again
		return
	}
	r.ours = true
	p.note(now, "binding at proxy node "+r.Name.PN.Short())
	p.addRelay(now, r)
}

// joinRelay binds what the peer has named in its call.
func (p *Peer) joinRelay(now time.Time, name *wire.Relay) {
	if name == nil || slices.ContainsFunc(p.relays, func(r *Relay) bool { return r.Name == *name }) {
		return
	}
	var refs []identity.Ref
	if p.device != nil {
		refs = p.device.PNs()
	}
	if r := p.cfg.Host.JoinRelay(p.cfg.ID, *name, refs); r != nil {
		p.note(now, "joining the peer at proxy node "+name.PN.Short())
		p.addRelay(now, r)
		if r.Begun {
			p.linkRelay(now, r) // the peer's Bind is most likely there
		}
	}
}

// addRelay keeps a relay, at the cost of the oldest if there are too many, and has it
// watched.
func (p *Peer) addRelay(now time.Time, r *Relay) {
	if len(p.relays) == maxRelays {
		p.dropRelay(now, p.relays[0])
	}
	r.until = now.Add(relayPatience)
	p.relays = append(p.relays, r)
	p.workers.Go(func() {
		select {
		case <-r.Ready:
			p.ask(p.ctx, func(now time.Time) { p.onRelayReady(now, r) })
		case <-r.Done:
		case <-p.ctx.Done():
			return
		}
		select {
		case <-r.Done:
			p.ask(p.ctx, func(now time.Time) { p.onRelayOver(now, r) })
		case <-p.ctx.Done():
		}
	})
}

// onRelayReady makes a path of a relay at which the peer is, too.
func (p *Peer) onRelayReady(now time.Time, r *Relay) {
	if !slices.Contains(p.relays, r) {
		return
	}
	p.note(now, "the peer is at proxy node "+r.Name.PN.Short()+", too")
	if r.linked {
		p.paths.Kick(now) // it was tried too early, perhaps
		return
	}
	p.linkRelay(now, r)
}

// linkRelay tells the paths of a relay, and lets go of those that slept when there was no
// traffic.
func (p *Peer) linkRelay(now time.Time, r *Relay) {
	r.linked = true
	p.paths.AddLink(now, r.Info)
	for _, o := range slices.Clone(p.relays) {
		if o != r && o.Err() != nil {
			p.dropRelay(now, o)
		}
	}
}

// onRelayOver lets go of a relay that has ended. If it was ours to begin, and an attempt is
// under way, the next round begins another, at a PN that has not refused.
func (p *Peer) onRelayOver(now time.Time, r *Relay) {
	if !slices.Contains(p.relays, r) {
		return
	}
	p.note(now, "relay is over: "+r.Err().Error())
	if r.linked && r.Idle() {
		return // so is the session: when it wakes it finds no answer here, and calls
	}
	if r.ours && !r.linked {
		p.refusing = append(p.refusing, r.Name.PN)
		p.callAgain(now)
	}
	p.dropRelay(now, r)
}

// dropRelay closes a relay.
func (p *Peer) dropRelay(now time.Time, r *Relay) {
	p.relays = slices.DeleteFunc(p.relays, func(o *Relay) bool { return o == r })
	if r.linked {
		p.paths.RemoveLink(now, r.Info.Link)
	}
	r.Close()
}

// dropRelays closes all relays: there is nothing to relay any more.
func (p *Peer) dropRelays(now time.Time) {
	for len(p.relays) > 0 {
		p.dropRelay(now, p.relays[0])
	}
	p.refusing = nil
}

// relayName returns what a call names: the newest relay that we have begun; nil if there is
// none.
func (p *Peer) relayName() *wire.Relay {
	for _, r := range slices.Backward(p.relays) {
		if r.ours && r.Err() == nil {
			return &r.Name
		}
	}
	return nil
}
