package daemon

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// Local is a device of this process: a stack, and what it serves.
type Local struct {
	stack *bdt.Stack
	about About

	mu       sync.Mutex
	services map[string]*service
}

// About is what a process says of itself.
type About struct {
	Command string // "bdt up"
	Version string
	Started time.Time
}

// A service is a name that is served.
type service struct {
	what, allow string
	streams     *atomic.Uint64
}

// NewLocal returns the device of a stack, which is closed with it.
func NewLocal(stack *bdt.Stack, about About) *Local {
	return &Local{stack: stack, about: about, services: make(map[string]*service)}
}

// Stack returns the stack.
func (l *Local) Stack() *bdt.Stack { return l.stack }

// ID implements [Device].
func (l *Local) ID() identity.ID { return l.stack.ID() }

// Close stops the device.
func (l *Local) Close() error { return l.stack.Close() }

// Learn implements [Device].
func (l *Local) Learn(_ context.Context, t identity.Ticket) error { return l.stack.Learn(t) }

// Dial implements [Device].
func (l *Local) Dial(ctx context.Context, id identity.ID, service string) (Stream, error) {
	c, err := l.stack.Dial(ctx, id, service)
	if err != nil {
		return nil, err // not a nil *bdt.Conn in a Stream
	}
	return c, nil
}

// Ping implements [Device].
func (l *Local) Ping(ctx context.Context, id identity.ID) (time.Duration, error) {
	return l.stack.Ping(ctx, id)
}

// Listen implements [Device].
func (l *Local) Listen(_ context.Context, name, who string) (Listener, error) {
	ln, err := l.Serve(name, who, "a listening process")
	if err != nil {
		return nil, err
	}
	return localListener{ln, l, name}, nil
}

// Serve is Listen for what this process serves itself; what describes it to people.
// The service stays in the status until the device is closed.
func (l *Local) Serve(name, who, what string) (*bdt.Listener, error) {
	access, err := bdt.ParseAccess(who)
	if err != nil {
		return nil, err
	}
	// A policy is asked once for each stream.
	streams := new(atomic.Uint64)
	ln, err := l.stack.Listen(name, func(c bdt.Caller) bdt.Rights {
		r := access(c)
		if r != 0 {
			streams.Add(1)
		}
		return r
	})
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.services[name] = &service{what, who, streams}
	return ln, nil
}

// A localListener is a listener whose service ends with it.
type localListener struct {
	*bdt.Listener
	local *Local
	name  string
}

// Accept implements [Listener].
func (l localListener) Accept(ctx context.Context) (Stream, error) {
	c, err := l.AcceptConn(ctx)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close implements [Listener].
func (l localListener) Close() error {
	l.local.mu.Lock()
	delete(l.local.services, l.name)
	l.local.mu.Unlock()
	return l.Listener.Close()
}

// Status implements [Device].
func (l *Local) Status(context.Context) (*Status, error) {
	device := l.stack.Device()
	s := &Status{
		ID:        l.stack.ID(),
		Name:      device.Name(),
		PID:       os.Getpid(),
		Command:   l.about.Command,
		Version:   l.about.Version,
		Started:   l.about.Started,
		Online:    l.stack.Online(),
		Ticket:    l.stack.Ticket().String(),
		SNs:       []SN{},
		PNs:       []PN{},
		Sockets:   l.stack.LocalAddrs(),
		Endpoints: append([]netip.AddrPort{}, device.Endpoints()...),
		Services:  []Service{},
	}
	if owner := device.Owner(); !owner.IsZero() {
		s.Owner = &owner
	}
	for _, n := range l.stack.PNs() {
		s.PNs = append(s.PNs, PN{SN{n.Ref.String(), n.State, known(n.Observed), milliseconds(n.RTT)}, n.Relays})
	}
	for _, n := range l.stack.SNs() {
		s.SNs = append(s.SNs, SN{n.Ref.String(), n.State, known(n.Observed), milliseconds(n.RTT)})
	}
	for _, p := range l.stack.Peers() {
		s.Peers++
		if p.State == "connected" {
			s.Connected++
		}
		s.BytesSent += p.BytesSent
		s.BytesRecv += p.BytesRecv
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.SortedFunc(maps.Keys(l.services), strings.Compare) {
		one := l.services[name]
		s.Services = append(s.Services, Service{name, one.what, one.allow, one.streams.Load()})
	}
	return s, nil
}

// Peers implements [Device].
func (l *Local) Peers(context.Context) ([]Peer, error) {
	list := []Peer{}
	for _, p := range l.stack.Peers() {
		list = append(list, viewPeer(p))
	}
	return list, nil
}

// Explain implements [Device].
func (l *Local) Explain(_ context.Context, id identity.ID) (*Explanation, error) {
	e, ok := l.stack.Explain(id)
	if !ok {
		return nil, ErrUnknown
	}
	v := &Explanation{Peer: viewPeer(e.Peer), Paths: []Path{}, Lines: []Event{}}
	for _, p := range e.Paths {
		v.Paths = append(v.Paths, viewPath(p))
	}
	for _, line := range e.Lines {
		v.Lines = append(v.Lines, Event(line))
	}
	return v, nil
}

// NetCheck implements [Device].
func (l *Local) NetCheck(ctx context.Context) (*bdt.NetReport, error) { return l.stack.NetCheck(ctx) }
