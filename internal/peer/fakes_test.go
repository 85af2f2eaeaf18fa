package peer

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// A fakeLink keeps what is sent on it, and its routes.
type fakeLink struct {
	mu     sync.Mutex
	sent   []sent
	routes map[netip.AddrPort]socket.Sink
	fail   error // what sending returns
}

type sent struct {
	to       netip.AddrPort
	b        []byte
	hopLimit uint8
}

func newFakeLink() *fakeLink { return &fakeLink{routes: map[netip.AddrPort]socket.Sink{}} }

func (l *fakeLink) Send(to netip.AddrPort, b []byte) error { return l.SendHopLimit(to, b, 0) }

func (l *fakeLink) SendHopLimit(to netip.AddrPort, b []byte, hopLimit uint8) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, sent{to, slices.Clone(b), hopLimit})
	return l.fail
}

func (l *fakeLink) SendRun(to netip.AddrPort, b []byte, _ int, _ uint8) error {
	return l.Send(to, b)
}

func (l *fakeLink) AddRoute(from netip.AddrPort, sink socket.Sink) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.routes[from]; held != nil {
		return held == sink
	}
	l.routes[from] = sink
	return true
}

func (l *fakeLink) SetRoute(from netip.AddrPort, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.routes[from] = sink
}

func (l *fakeLink) ReplaceRoute(from netip.AddrPort, old, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.routes[from] == old {
		l.routes[from] = sink
	}
}

func (l *fakeLink) DeleteRoute(from netip.AddrPort, sink socket.Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.routes[from] == sink {
		delete(l.routes, from)
	}
}

func (l *fakeLink) route(from netip.AddrPort) socket.Sink {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes[from]
}

func (l *fakeLink) routeCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.routes)
}

// take returns and forgets what was sent, of one type of control packet.
func (l *fakeLink) take(t wire.Type) (list []sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = slices.DeleteFunc(l.sent, func(s sent) bool {
		got, err := wire.ControlType(s.b)
		if err != nil || got != t {
			return false
		}
		list = append(list, s)
		return true
	})
	return list
}

// of returns the control packets of a type that were sent, and leaves them.
func (l *fakeLink) of(t wire.Type) []sent {
	list := l.take(t)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, list...)
	return list
}

func (l *fakeLink) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = nil
}

func (l *fakeLink) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.sent)
}

// A fakeEngine makes ports that open when the test says so.
type fakeEngine struct {
	mu    sync.Mutex
	ports []*fakePort
	fail  error // what Attach returns
}

func (*fakeEngine) Name() string                       { return "fake" }
func (*fakeEngine) Capabilities() session.Capabilities { return session.Capabilities{} }
func (*fakeEngine) Close() error                       { return nil }

func (e *fakeEngine) Attach(c session.Carrier, s session.Secrets) (session.Port, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	p := &fakePort{carrier: c, secrets: s, open: make(chan error, 1), closed: make(chan struct{}), session: newFakeSession()}
	e.ports = append(e.ports, p)
	return p, nil
}

func (e *fakeEngine) all() []*fakePort {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.ports)
}

type fakePort struct {
	carrier session.Carrier
	secrets session.Secrets
	session *fakeSession
	open    chan error // nil: the session opens
	closed  chan struct{}
	once    sync.Once

	mu        sync.Mutex
	delivered [][]byte
	started   string // "dial" or "accept"
	changes   int
}

func (p *fakePort) Deliver(b []byte, _ int, _ uint8) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delivered = append(p.delivered, slices.Clone(b))
}

func (p *fakePort) Dial(ctx context.Context) (session.Session, error) { return p.start(ctx, "dial") }
func (p *fakePort) Accept(ctx context.Context) (session.Session, error) {
	return p.start(ctx, "accept")
}

func (p *fakePort) start(ctx context.Context, how string) (session.Session, error) {
	p.mu.Lock()
	p.started = how
	p.mu.Unlock()
	select {
	case err := <-p.open:
		if err != nil {
			return nil, err
		}
		return p.session, nil
	case <-p.closed:
		return nil, session.ErrPortClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *fakePort) PathChanged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes++
}

func (p *fakePort) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *fakePort) isClosed() bool {
	select {
	case <-p.closed:
		return true
	default:
		return false
	}
}

func (p *fakePort) pathChanges() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changes
}

func (p *fakePort) got() (list []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.delivered {
		list = append(list, string(b))
	}
	return list
}

func (p *fakePort) how() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started
}

// A fakeSession does nothing but end.
type fakeSession struct {
	session.Session
	once sync.Once
	done chan struct{}
	err  error
}

func newFakeSession() *fakeSession { return &fakeSession{done: make(chan struct{})} }

func (s *fakeSession) end(err error) {
	s.once.Do(func() { s.err = err; close(s.done) })
}

func (s *fakeSession) Close(uint64, string) error { s.end(net.ErrClosed); return nil }
func (s *fakeSession) Done() <-chan struct{}      { return s.done }
func (s *fakeSession) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// A fakeSignaller is an SN that answers as the test says.
type fakeSignaller struct {
	call    func(ctx context.Context, o snclient.CallOptions) (*snclient.CallReply, error)
	offline bool // and for good

	mu      sync.Mutex
	calls   int
	signals [][]byte
}

func (f *fakeSignaller) Online() bool { return !f.offline }

func (f *fakeSignaller) WaitOnline(ctx context.Context) error {
	if !f.offline {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeSignaller) Call(ctx context.Context, _ identity.ID, o snclient.CallOptions) (*snclient.CallReply, error) {
	f.mu.Lock()
	f.calls++
	f.mu.Unlock()
	return f.call(ctx, o)
}

func (f *fakeSignaller) Signal(_ identity.ID, b []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signals = append(f.signals, slices.Clone(b))
	return nil
}

func (f *fakeSignaller) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fakeSignaller) take() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.signals
	f.signals = nil
	return s
}
