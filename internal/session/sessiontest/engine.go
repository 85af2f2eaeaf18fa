package sessiontest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

// NewEngine makes an engine; who calls it closes the engine.
type NewEngine func(t testing.TB, id session.Identity) session.Engine

// RunEngine tests an engine that works over carriers: its sessions with Run,
// and what engines and ports are to do.
func RunEngine(t *testing.T, newEngine NewEngine) {
	id, _ := NewIdentity("capabilities")
	e := newEngine(t, id)
	caps := e.Capabilities()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	Run(t, caps, func(t testing.TB, n *Network) (client, server session.Session) {
		return Pair(t, n, newEngine)
	})
	t.Run("Ports", func(t *testing.T) {
		for _, tt := range portTests {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tt.f(newPortEnv(t, newEngine)) })
			})
		}
	})
}

var portTests = []struct {
	name string
	f    func(*portEnv)
}{
	{"AcceptLater", testAcceptLater},
	{"NoAnswer", testNoAnswer},
	{"DialCancelled", testDialCancelled},
	{"AcceptCancelled", testAcceptCancelled},
	{"ClientsKey", testClientsKey},
	{"ServersKey", testServersKey},
	{"Binding", testBinding},
	{"BothDial", testBothDial},
	{"Once", testOnce},
	{"PortClose", testPortClose},
	{"PortCloseInterrupts", testPortCloseInterrupts},
	{"EngineClose", testEngineClose},
	{"BadSecrets", testBadSecrets},
	{"Garbage", testGarbage},
	{"ManySessions", testManySessions},
}

// A portEnv is two engines, and two ports that no one has dialled.
type portEnv struct {
	env
	engines [2]session.Engine
	secrets [2]session.Secrets
	ports   [2]session.Port
}

func newPortEnv(t *testing.T, newEngine NewEngine) *portEnv {
	e := &portEnv{env: env{T: t, net: NewNetwork(t, clean)}}
	var keys [2]ed25519.PublicKey
	for i, name := range []string{"client", "server"} {
		var id session.Identity
		id, keys[i] = NewIdentity(name)
		e.engines[i] = newEngine(t, id)
		t.Cleanup(func() { e.engines[i].Close() })
	}
	e.caps = e.engines[0].Capabilities()
	e.secrets = secretsOf(keys[Client], keys[Server])
	e.ports = attach(t, e.net, e.engines, e.secrets)
	return e
}

// reattach replaces the ports, with the secrets as they now are.
func (e *portEnv) reattach() {
	for _, p := range e.ports {
		p.Close()
	}
	e.ports = attach(e.T, e.net, e.engines, e.secrets)
}

func (e *portEnv) dial(ctx context.Context) <-chan opened {
	return open(func() (session.Session, error) { return e.ports[Client].Dial(ctx) })
}

func (e *portEnv) accept(ctx context.Context) <-chan opened {
	return open(func() (session.Session, error) { return e.ports[Server].Accept(ctx) })
}

// connect opens the session.
func (e *portEnv) connect() {
	e.Helper()
	d, a := e.dial(e.context()), e.accept(e.context())
	c, s := <-d, <-a
	e.want(c.err, nil)
	e.want(s.err, nil)
	e.client, e.server = c.session, s.session
}

// timeout returns a context that ends after d.
func (e *portEnv) timeout(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(e.Context(), d)
	e.Cleanup(cancel)
	return ctx
}

func testAcceptLater(e *portEnv) {
	d := e.dial(e.context())
	time.Sleep(2 * time.Second)
	a := e.accept(e.context())
	c, s := <-d, <-a
	e.want(c.err, nil)
	e.want(s.err, nil)
	e.client, e.server = c.session, s.session
	e.alive()
}

func testNoAnswer(e *portEnv) {
	e.net.SetConditions(Conditions{Loss: 1})
	r := <-e.dial(e.context())
	e.want(r.err, session.ErrHandshakeTimeout)
	_, err := e.ports[Client].Dial(e.context())
	e.want(err, session.ErrPortUsed)
}

func testDialCancelled(e *portEnv) {
	e.net.SetConditions(Conditions{Loss: 1})
	start := time.Now()
	e.want((<-e.dial(e.timeout(3 * time.Second))).err, context.DeadlineExceeded)
	if d := time.Since(start); d != 3*time.Second {
		e.Errorf("Dial returned after %v", d)
	}
	e.reattach()
	e.net.SetConditions(clean)
	e.connect()
	e.alive()
}

func testAcceptCancelled(e *portEnv) {
	start := time.Now()
	e.want((<-e.accept(e.timeout(3 * time.Second))).err, context.DeadlineExceeded)
	if d := time.Since(start); d != 3*time.Second {
		e.Errorf("Accept returned after %v", d)
	}
	_, err := e.ports[Server].Accept(e.context())
	e.want(err, session.ErrPortUsed)
	e.want((<-e.dial(e.context())).err, session.ErrRefused)
	e.reattach()
	e.connect()
	e.alive()
}

func testServersKey(e *portEnv) {
	_, e.secrets[Client].Peer = NewIdentity("another server")
	e.reattach()
	d, a := e.dial(e.context()), e.accept(e.timeout(time.Minute))
	e.want((<-d).err, session.ErrPeerKey)
	err := (<-a).err
	e.want(err, context.DeadlineExceeded)
	e.want(err, session.ErrPeerKey)
}

// testClientsKey wants the server to take no client but its own. The client
// may learn of it only after Dial.
func testClientsKey(e *portEnv) {
	_, e.secrets[Server].Peer = NewIdentity("another client")
	e.reattach()
	d, a := e.dial(e.context()), e.accept(e.timeout(time.Minute))
	r := <-d
	if r.err == nil {
		<-r.session.Done()
		r.err = r.session.Err()
	}
	e.want(r.err, session.ErrPeerKey)
	err := (<-a).err
	e.want(err, context.DeadlineExceeded)
	e.want(err, session.ErrPeerKey)
}

func testBinding(e *portEnv) {
	e.secrets[Server].Binding[0] ^= 1
	e.reattach()
	d, a := e.dial(e.context()), e.accept(e.timeout(time.Minute))
	e.want((<-d).err, session.ErrBinding)
	err := (<-a).err
	e.want(err, context.DeadlineExceeded)
	e.want(err, session.ErrBinding)
}

func testBothDial(e *portEnv) {
	d := e.dial(e.context())
	d2 := open(func() (session.Session, error) { return e.ports[Server].Dial(e.context()) })
	e.want((<-d).err, session.ErrRefused)
	e.want((<-d2).err, session.ErrRefused)
}

func testOnce(e *portEnv) {
	e.connect()
	for _, p := range e.ports {
		_, err := p.Dial(e.context())
		e.want(err, session.ErrPortUsed)
		_, err = p.Accept(e.context())
		e.want(err, session.ErrPortUsed)
	}
	// Another connection to the port is refused, and does the session no harm.
	p, err := e.engines[Client].Attach(e.net.Carrier(Client), e.secrets[Client])
	e.want(err, nil)
	e.net.Connect(Client, p)
	_, err = p.Dial(e.context())
	e.want(err, session.ErrRefused)
	e.net.Connect(Client, e.ports[Client])
	e.alive()
}

// testPortClose closes a port and wants its session gone and the peer told
// nothing.
func testPortClose(e *portEnv) {
	e.connect()
	near, _ := e.streams(e.client, e.server)
	calls := e.blocked(e.client, near, near)
	time.Sleep(time.Minute) // Write has stopped at the peer's window
	sent := e.net.Sent(Client)
	e.want(e.ports[Client].Close(), nil)
	e.want(e.ports[Client].Close(), nil)
	<-e.client.Done()
	e.want(e.client.Err(), session.ErrPortClosed)
	e.want(e.client.Err(), net.ErrClosed)
	for _, c := range calls {
		e.want(<-c, session.ErrPortClosed)
	}
	time.Sleep(time.Minute)
	e.want(e.server.Err(), nil)
	if n := e.net.Sent(Client) - sent; n != 0 {
		e.Errorf("%d packets were sent by a closed port", n)
	}
	e.ports[Client].Deliver([]byte("late"), 0, 0)
	e.ports[Client].PathChanged()
	_, err := e.ports[Client].Dial(e.context())
	e.want(err, session.ErrPortClosed)
	_, err = e.ports[Client].Accept(e.context())
	e.want(err, session.ErrPortClosed)

	e.want(e.server.Close(3, "alone"), nil)
	e.wantClose(e.server.Err(), 3, "alone", false)
	e.want(e.ports[Server].Close(), nil)
	e.wantClose(e.server.Err(), 3, "alone", false)
}

func testPortCloseInterrupts(e *portEnv) {
	e.net.SetConditions(Conditions{Loss: 1})
	d, a := e.dial(e.context()), e.accept(e.context())
	time.Sleep(time.Second)
	start := time.Now()
	for _, p := range e.ports {
		e.want(p.Close(), nil)
	}
	e.want((<-d).err, session.ErrPortClosed)
	e.want((<-a).err, session.ErrPortClosed)
	if d := time.Since(start); d != 0 {
		e.Errorf("took %v", d)
	}
}

func testEngineClose(e *portEnv) {
	e.connect()
	near, _ := e.streams(e.client, e.server)
	read := e.start(func() error { return read1(near) })
	e.want(e.engines[Client].Close(), nil)
	e.want(e.engines[Client].Close(), nil)
	e.want(<-read, net.ErrClosed)
	e.want(e.client.Err(), net.ErrClosed)
	<-e.server.Done()
	if c, ok := errors.AsType[*session.CloseError](e.server.Err()); !ok || !c.Remote {
		e.Errorf("the peer of a closed engine got %v", e.server.Err())
	}
	_, err := e.engines[Client].Attach(e.net.Carrier(Client), e.secrets[Client])
	e.want(err, session.ErrEngineClosed)
	_, err = e.ports[Client].Dial(e.context())
	e.want(err, net.ErrClosed)
}

func testBadSecrets(e *portEnv) {
	if _, err := e.engines[Client].Attach(nil, e.secrets[Client]); err == nil {
		e.Error("Attach took no carrier")
	}
	if _, err := e.engines[Client].Attach(e.net.Carrier(Client), session.Secrets{}); err == nil {
		e.Error("Attach took no key")
	}
}

// testGarbage delivers what no engine wrote, before and in the session.
func testGarbage(e *portEnv) {
	noise := rand.NewChaCha8([32]byte{1})
	rng := rand.New(noise)
	deliver := func() {
		for range 1000 {
			b := make([]byte, rng.IntN(3000))
			noise.Read(b)
			p := e.ports[rng.IntN(2)]
			p.Deliver(b, rng.IntN(1500)-100, uint8(rng.Uint32()))
		}
		for _, p := range e.ports {
			p.Deliver(nil, 1, 0)
			p.Deliver(make([]byte, 1<<20), 0, 0)
			p.Deliver(make([]byte, 5000), 1, 0)
		}
	}
	deliver()
	time.Sleep(time.Minute)
	e.connect()
	e.alive()
	deliver()
	e.alive()
	if e.client.Stats().PacketsDropped == 0 {
		e.Error("a run of a megabyte was not counted as dropped")
	}
}

// testManySessions opens hundreds of sessions of two engines at the same time.
func testManySessions(e *portEnv) {
	const count = 300
	var wg sync.WaitGroup
	for i := range count {
		n := NewNetwork(e.T, clean)
		secrets := e.secrets
		for j := range secrets {
			secrets[j].Binding[0], secrets[j].Binding[1] = byte(i), byte(i>>8)
		}
		ports := attach(e.T, n, e.engines, secrets)
		wg.Go(func() {
			d := open(func() (session.Session, error) { return ports[Client].Dial(e.context()) })
			a := open(func() (session.Session, error) { return ports[Server].Accept(e.context()) })
			c, s := <-d, <-a
			if c.err != nil || s.err != nil {
				e.Errorf("session %d: dial: %v; accept: %v", i, c.err, s.err)
				return
			}
			if _, _, err := streamPair(e.context(), c.session, s.session); err != nil {
				e.Errorf("session %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}
