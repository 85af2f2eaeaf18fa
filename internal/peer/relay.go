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
	met    bool      // the peer has come to it
	begun  time.Time // when we began to bind, or the peer came
	until  time.Time // when to give it up if the peer has not come
}

// maxRelays bounds the relays of a peer: one that we began, one that the peer did, and
// those that they replace.
const maxRelays = 4

// relayPatience is how long the peer has to come to a relay, once nobody waits for a session.
const relayPatience = 30 * time.Second

// relayTrial is how long a relay may take to prove itself, before another is begun beside it:
// perhaps its PN does not forward, or the peer cannot reach it.
const relayTrial = 2 * time.Second

// expireRelays gives up the relays to which the peer has not come.
func (p *Peer) expireRelays(now time.Time) {
	for _, r := range slices.Clone(p.relays) {
		switch {
		case r.met:
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
		if !r.met && p.attempt == nil {
			next = earliest(next, r.until)
		}
	}
	return next
}

// openRelay begins a relay for the calls of an attempt to name, unless there is one that works,
// or may yet. The PNs of a peer that nobody here wants are its own affair.
func (p *Peer) openRelay(now time.Time) {
	not := slices.Clone(p.refusing)
	for _, r := range p.relays {
		switch {
		case !r.Alive():
		case p.carries(r) || (r.ours || !p.wanted) && now.Sub(r.begun) < relayTrial:
			return
		case r.ours:
			not = append(not, r.Name.PN)
		}
	}
	var refs []identity.Ref
	if p.device != nil && p.wanted {
		refs = p.device.PNs()
	}
	r := p.cfg.Host.OpenRelay(p.cfg.ID, refs, not)
	if r == nil {
		p.refusing = nil // those that have refused may have room again
		return
	}
	r.ours = true
	p.note(now, "binding at proxy node "+r.Name.PN.Short())
	p.addRelay(now, r)
}

// carries reports whether a relay carries packets, as far as is known: not only small ones,
// with which no session opens.
func (p *Peer) carries(r *Relay) bool {
	return p.live.Load() != nil && slices.ContainsFunc(p.paths.Paths(), func(i path.Info) bool {
		return i.Link == r.Info.Link && (i.State == path.Valid || i.State == path.Suspect)
	})
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

// addRelay keeps a relay, at the cost of another if there are too many, and has it watched.
func (p *Peer) addRelay(now time.Time, r *Relay) {
	if len(p.relays) == maxRelays {
		p.dropRelay(now, p.spareRelay())
	}
	r.begun, r.until = now, now.Add(relayPatience)
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

// spareRelay returns the relay that is missed least: one that is over, else the oldest of those
// to which the peer has not come, which anybody who knows an SN of ours may have named, else the
// oldest that carries nothing.
func (p *Peer) spareRelay() *Relay {
	for _, spare := range []func(r *Relay) bool{
		func(r *Relay) bool { return r.Err() != nil },
		func(r *Relay) bool { return !r.met && !r.ours },
		func(r *Relay) bool { return !r.met },
		func(r *Relay) bool { info, ok := p.paths.Current(); return !ok || info.Link != r.Info.Link },
	} {
		if i := slices.IndexFunc(p.relays, spare); i >= 0 {
			return p.relays[i]
		}
	}
	return p.relays[0]
}

// onRelayReady makes a path of a relay at which the peer is, too.
func (p *Peer) onRelayReady(now time.Time, r *Relay) {
	if !slices.Contains(p.relays, r) {
		return
	}
	r.met, r.begun = true, now
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
// under way, another is begun at once, at a PN that has not refused, and named in another call.
func (p *Peer) onRelayOver(now time.Time, r *Relay) {
	if !slices.Contains(p.relays, r) {
		return
	}
	p.note(now, "relay is over: "+r.Err().Error())
	if r.linked && r.Idle() {
		return // so is the session: when it wakes it finds no answer here, and calls
	}
	p.dropRelay(now, r)
	if !r.ours || r.met || p.attempt == nil {
		return
	}
	p.refusing = append(p.refusing, r.Name.PN)
	if p.openRelay(now); p.relayName() != nil {
		p.callAll(p.attempt.candidates)
	}
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
