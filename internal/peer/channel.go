package peer

import (
	"crypto/ed25519"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/socket"
)

// A channel is one association and the connection that its packets speak
// for. After a rekey two channels share a connection for a while.
type channel struct {
	assoc *noise.Association
	conn  *connection
}

// A connection is one session, from its keys to its end.
type connection struct {
	lane   *lane
	id     uint64 // session id
	client bool   // we dial; the peer accepts
	device *identity.Device

	// Below belong to the peer's owner.
	started bool            // the engine was asked to dial or accept
	session session.Session // nil until the engine has it
	ended   bool
	leaves  time.Time // when it ends, since the peer has left; zero: it has not
	silent  bool      // we leave: the engine must not have the peer throw away what it has not read
}

// newConnection makes the port for a session that the association opens.
func (p *Peer) newConnection(now time.Time, a *noise.Association, d *identity.Device) (*connection, error) {
	key := d.SigningKey()
	c := &connection{
		id:     a.SessionID(),
		client: a.Client(),
		device: d,
		lane:   newLane(func() { p.post(func(time.Time) {}) }, p.HandleHint, now),
	}
	port, err := p.cfg.Engine.Attach(c.lane, session.Secrets{
		Binding: a.Binding(),
		Peer:    ed25519.PublicKey(key[:]),
	})
	if err != nil {
		return nil, err
	}
	c.lane.port = port
	return c, nil
}

// An expected is our pending initiation: a Response with its index may be
// followed at once by engine packets.
type expected struct {
	index uint32
	early *earlySink
}

// A channelTable finds the channel that an incoming packet is for. The owner
// writes it, copying; readers read it.
type channelTable struct {
	byIndex atomic.Pointer[map[uint32]*channel]
}

func (t *channelTable) get(index uint32) *channel {
	if m := t.byIndex.Load(); m != nil {
		return (*m)[index]
	}
	return nil
}

// all returns the channels. The map is not to be changed.
func (t *channelTable) all() map[uint32]*channel {
	if m := t.byIndex.Load(); m != nil {
		return *m
	}
	return nil
}

func (t *channelTable) add(ch *channel) {
	next := maps.Clone(t.all())
	if next == nil {
		next = map[uint32]*channel{}
	}
	next[ch.assoc.LocalIndex()] = ch
	t.byIndex.Store(&next)
}

func (t *channelTable) remove(index uint32) {
	next := maps.Clone(t.all())
	delete(next, index)
	t.byIndex.Store(&next)
}

// maxRoutes bounds the sources whose engine packets are accepted. A peer has
// as many as it has paths, and who holds its keys can invent more.
const maxRoutes = 32

// A source is where packets come from.
type source struct {
	link Link
	addr netip.AddrPort
}

// A routeTable is the peer's share of the sockets' routes.
type routeTable struct {
	mu     sync.Mutex
	routes []sourceRoute // oldest first, at most maxRoutes
}

type sourceRoute struct {
	source
	sink socket.Sink
}

// claim routes engine packets from src to sink, unless src is another peer's:
// who holds keys of its own can send from a forged source, but not answer from
// it. It is called on reader goroutines for every sealed packet, so the common
// case is a short scan.
func (t *routeTable) claim(src source, sink socket.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.index(src)
	switch {
	case i >= 0 && t.routes[i].sink == sink:
	case i >= 0:
		src.link.ReplaceRoute(src.addr, t.routes[i].sink, sink)
		t.routes[i].sink = sink
	case src.link.AddRoute(src.addr, sink):
		t.addLocked(src, sink)
	}
}

// take routes engine packets from src to sink, whosever src was: the peer has
// answered a probe from there.
func (t *routeTable) take(src source, sink socket.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	src.link.SetRoute(src.addr, sink)
	if i := t.index(src); i >= 0 {
		t.routes[i].sink = sink
	} else {
		t.addLocked(src, sink)
	}
}

func (t *routeTable) index(src source) int {
	return slices.IndexFunc(t.routes, func(r sourceRoute) bool { return r.source == src })
}

// addLocked keeps a route that was made, at the cost of the oldest if there are
// too many.
func (t *routeTable) addLocked(src source, sink socket.Sink) {
	if len(t.routes) == maxRoutes {
		old := t.routes[0]
		old.link.DeleteRoute(old.addr, old.sink)
		t.routes = append(t.routes[:0], t.routes[1:]...)
	}
	t.routes = append(t.routes, sourceRoute{src, sink})
}

// redirect has every route lead to sink.
func (t *routeTable) redirect(sink socket.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.routes {
		r := &t.routes[i]
		r.link.ReplaceRoute(r.addr, r.sink, sink)
		r.sink = sink
	}
}

// replace has the routes to one sink lead to another; nil deletes them.
func (t *routeTable) replace(sink, next socket.Sink) {
	if next == nil {
		t.remove(sink)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.routes {
		if r := &t.routes[i]; r.sink == sink {
			r.link.ReplaceRoute(r.addr, r.sink, next)
			r.sink = next
		}
	}
}

// remove deletes the routes to sink.
func (t *routeTable) remove(sink socket.Sink) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes = slices.DeleteFunc(t.routes, func(r sourceRoute) bool {
		if r.sink != sink {
			return false
		}
		r.link.DeleteRoute(r.addr, r.sink)
		return true
	})
}

// clear deletes all routes.
func (t *routeTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.routes {
		r.link.DeleteRoute(r.addr, r.sink)
	}
	t.routes = nil
}
