package sessiontest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

// NewIdentity makes the identity that belongs to a name.
func NewIdentity(name string) (session.Identity, ed25519.PublicKey) {
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	return session.Identity{Signer: key}, key.Public().(ed25519.PublicKey)
}

// patience is how long, in virtual time, anything may take.
const patience = 5 * time.Minute

// attach makes the ports of one session on both ends of n.
func attach(t testing.TB, n *Network, engines [2]session.Engine, secrets [2]session.Secrets) [2]session.Port {
	t.Helper()
	var ports [2]session.Port
	for e := range ports {
		p, err := engines[e].Attach(n.Carrier(End(e)), secrets[e])
		if err != nil {
			t.Fatal(err)
		}
		ports[e] = p
		n.Connect(End(e), p)
	}
	return ports
}

// secretsOf are what the handshake of the two identities yields.
func secretsOf(client, server ed25519.PublicKey) [2]session.Secrets {
	binding := sha256.Sum256(append(append([]byte("handshake"), client...), server...))
	return [2]session.Secrets{{Binding: binding, Peer: server}, {Binding: binding, Peer: client}}
}

// opened is what Dial or Accept returned.
type opened struct {
	session session.Session
	err     error
}

// open runs f, a Dial or an Accept.
func open(f func() (session.Session, error)) <-chan opened {
	c := make(chan opened, 1)
	go func() {
		s, err := f()
		c <- opened{s, err}
	}()
	return c
}

// Pair opens a session between two new engines over n. The engines are closed
// when t is done.
func Pair(t testing.TB, n *Network, newEngine func(testing.TB, session.Identity) session.Engine) (client, server session.Session) {
	t.Helper()
	clientID, clientKey := NewIdentity("client")
	serverID, serverKey := NewIdentity("server")
	engines := [2]session.Engine{newEngine(t, clientID), newEngine(t, serverID)}
	t.Cleanup(func() {
		engines[Client].Close()
		engines[Server].Close()
	})
	ports := attach(t, n, engines, secretsOf(clientKey, serverKey))
	ctx := t.Context()
	dial := open(func() (session.Session, error) { return ports[Client].Dial(ctx) })
	accept := open(func() (session.Session, error) { return ports[Server].Accept(ctx) })
	c, s := <-dial, <-accept
	if c.err != nil || s.err != nil {
		t.Fatalf("dial: %v; accept: %v", c.err, s.err)
	}
	return c.session, s.session
}
