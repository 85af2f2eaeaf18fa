package pnclient

import (
	"crypto/rand"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/retry"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// NewTag returns a tag for a binding that this device begins.
func NewTag() (t wire.Tag) {
	rand.Read(t[:]) // never fails: it ends the program instead
	return t
}

// BindOptions say what to bind.
type BindOptions struct {
	Tag   wire.Tag    // from NewTag, or named by the peer
	Peer  identity.ID // who binds the same
	Pays  bool        // this device answers for what is relayed
	Token []byte      // that shows the PN that it may; nil: none. At most wire.MaxToken bytes
	// Sink receives the packets that come from the peer, without what the relay has added:
	// as runs, from the goroutine of a socket's reader, and only during the call.
	Sink socket.Sink
}

// A Binding is a tag under which this device wants to exchange packets with another
// through a PN: a path for datagrams. Its methods may be called concurrently.
type Binding struct {
	c *Client
	o BindOptions

	ready chan struct{} // closed when both ends have bound
	done  chan struct{} // closed when it is over

	isReady atomic.Bool
	mu      sync.Mutex
	err     error // why it is over

	request uint32
	begun   bool // the first Bind was sent by Client.Bind

	// For the owner.
	known bool // the owner has begun
	task  retry.Schedule
	poll  bool // it is half: to be repeated until it is ready
}

// Bind begins to bind, and returns at once: the Bind leaves before that if the client is online and
// has not sent too many, else as soon as it may, again after each time that it has lost the PN, and for as long as the
// binding is not closed. A tag may be bound once.
func (c *Client) Bind(o BindOptions) (*Binding, error) {
	fail := func(err error) (*Binding, error) {
		return nil, fmt.Errorf("pnclient: bind with %s at %s: %w", o.Peer.Short(), c.cfg.Ref.ID.Short(), err)
	}
	if len(o.Token) > wire.MaxToken {
		return fail(fmt.Errorf("token of %d bytes: %w", len(o.Token), wire.ErrCount))
	}
	b := &Binding{c: c, o: o, ready: make(chan struct{}), done: make(chan struct{}), request: c.number()}
	if l := c.link.Load(); l != nil && c.pace.take(time.Now()) {
		b.begun = c.sendMessage(*l, b.message()) == nil
	}
	if err := c.add(b); err != nil {
		return fail(err)
	}
	nudge(c.changed)
	return b, nil
}

// message returns what is sent until it is answered.
func (b *Binding) message() *wire.Bind {
	return &wire.Bind{Request: b.request, Pays: b.o.Pays, Tag: b.o.Tag, Peer: b.o.Peer, Token: b.o.Token}
}

// add keeps a binding.
func (c *Client) add(b *Binding) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := *c.bindings.Load()
	switch {
	case c.state == Closed:
		return ErrClosed
	case held[b.o.Tag] != nil:
		return fmt.Errorf("tag is in use: %w", wire.ErrValue)
	}
	next := maps.Clone(held)
	next[b.o.Tag] = b
	c.bindings.Store(&next)
	return nil
}

// remove takes a binding out, and reports whether it was there.
func (c *Client) remove(b *Binding) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := *c.bindings.Load()
	if held[b.o.Tag] != b {
		return false
	}
	next := maps.Clone(held)
	delete(next, b.o.Tag)
	c.bindings.Store(&next)
	return true
}

// end ends a binding, once, and reports whether it was not over.
func (b *Binding) end(err error) bool {
	if !b.c.remove(b) {
		return false
	}
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
	close(b.done)
	return true
}

// endAll ends all bindings.
func (c *Client) endAll(err error) {
	for _, b := range *c.bindings.Load() {
		b.end(err)
	}
}

// setReady notes that both ends have bound. The owner calls it.
func (b *Binding) setReady() {
	if !b.isReady.Swap(true) {
		close(b.ready)
	}
}

// Relay returns what the peer has to know to bind the same.
func (b *Binding) Relay() wire.Relay { return wire.Relay{PN: b.c.cfg.Ref.ID, Tag: b.o.Tag} }

// Client returns whose binding it is.
func (b *Binding) Client() *Client { return b.c }

// Begun reports whether the Bind left before Bind returned: what is sent from then on reaches
// the PN behind it, and is forwarded if the peer has bound before.
func (b *Binding) Begun() bool { return b.begun }

// Ready is closed when both ends have bound: from then on the PN forwards.
func (b *Binding) Ready() <-chan struct{} { return b.ready }

// Done is closed when the binding is over: refused, ended by the PN, or closed. Err
// says why.
func (b *Binding) Done() <-chan struct{} { return b.done }

// Err returns why the binding is over: a *BindError or ErrClosed; nil if it is not.
func (b *Binding) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close ends the binding, at both ends. It does not wait.
func (b *Binding) Close() error {
	if b.end(ErrClosed) {
		if l := b.c.link.Load(); l != nil {
			_ = b.c.sendMessage(*l, &wire.Unbind{Tag: b.o.Tag}) // lost, it expires
		}
		nudge(b.c.changed)
	}
	return nil
}
