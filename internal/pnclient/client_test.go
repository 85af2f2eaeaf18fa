package pnclient_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

// Two devices exchange packets and runs, in both directions, and the PN knows how many.
func TestExchange(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		start := time.Now()
		a, b := w.newNode(1, "198.51.100.1"), w.newNode(2, "198.51.100.2")
		a.online()
		b.online()
		// Describe, handshake and ping are a round trip of 20 ms each.
		if took := time.Since(start); took != 60*time.Millisecond {
			t.Errorf("online after %v, want 60 ms", took)
		}
		start = time.Now()
		la, lb := met(t, a, b)
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Errorf("bound after %v, want 20 ms", took)
		}
		hears(t, la, lb)
		hears(t, lb, la)
		run := strings.Repeat("a", 1200) + strings.Repeat("b", 1200) + "c"
		if err := la.SendRun([]byte(run), 1200, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * delay)
		if got := lb.take(); len(got) != 3 || strings.Join(got, "") != run || got[2] != "c" {
			t.Errorf("run arrived as %d packets", len(got))
		}
		if st := w.pn.Stats(); st.Packets != 5 || st.Pairs != 1 || st.Payers != 1 || st.Sessions != 2 || st.Met != 1 {
			t.Errorf("%+v", st)
		}
		if r := la.Relay(); r.PN != w.pn.Ref().ID {
			t.Errorf("relay %v", r)
		}
		if a.client.Observed() != a.sock.LocalAddr() || a.client.RTT() != 20*time.Millisecond || a.client.Addr() != pnAddr {
			t.Errorf("seen at %v, round trip %v, PN at %v", a.client.Observed(), a.client.RTT(), a.client.Addr())
		}
		// Each ends it for both.
		lb.Close()
		var e *pnclient.BindError
		if err := isOver(t, la); !errors.As(err, &e) || e.Reason != wire.UnboundPeer || !errors.Is(err, pnclient.ErrUnbound) {
			t.Errorf("over: %v", err)
		}
		if err := lb.Err(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := la.SendRun([]byte("x"), 0, 0); !errors.Is(err, net.ErrClosed) {
			t.Errorf("send after the end: %v", err)
		}
		if st := w.pn.Stats(); st.Pairs != 0 {
			t.Errorf("%d pairs are left", st.Pairs)
		}
	})
}

// Nothing is forwarded until both ends have bound, and each for the other.
func TestConsent(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b, c := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online(), w.newNode(3, "198.51.100.3").online()
		tag := pnclient.NewTag()
		la := a.bind(tag, b.id(), true)
		time.Sleep(time.Second)
		// A third party knows the tag, and tries what it can.
		for _, peer := range []identity.ID{a.id(), b.id()} {
			l := c.bind(tag, peer, true)
			if err := isOver(t, l); !errors.Is(err, pnclient.ErrNotAllowed) {
				t.Errorf("a stranger's bind with %s: %v", peer.Short(), err)
			}
			raw := &wire.Relayed{Tag: tag, Packet: []byte("stranger")}
			c.sock.Send(pnAddr, raw.Append(nil))
		}
		la.SendRun([]byte("early"), 0, 0)
		time.Sleep(time.Second)
		if st := w.pn.Stats(); st.Packets != 0 || st.DropHalf != 3 || st.Refused != 2 {
			t.Errorf("%+v", st)
		}
		// The callee that wants somebody else does not get the tag.
		if err := isOver(t, b.bind(tag, c.id(), true)); !errors.Is(err, pnclient.ErrNotAllowed) {
			t.Errorf("bind with another: %v", err)
		}
		lb := b.bind(tag, a.id(), false)
		isReady(t, lb)
		isReady(t, la)
		hears(t, la, lb)
		// Nor does a stranger get in when both are there.
		raw := &wire.Relayed{Tag: tag, Packet: []byte("stranger")}
		c.sock.Send(pnAddr, raw.Append(nil))
		time.Sleep(time.Second)
		if st := w.pn.Stats(); st.Packets != 1 || st.DropElsewhere != 1 || len(la.take())+len(lb.take()) != 0 {
			t.Errorf("%+v", st)
		}
		if err := isOver(t, c.bind(tag, a.id(), true)); !errors.Is(err, pnclient.ErrNotAllowed) {
			t.Errorf("bind of a tag in use: %v", err)
		}
		hears(t, lb, la)
	})
}

// The one who calls and the one who is called may bind in any order, and a lost Bound is
// made up for.
func TestCalleeFirst(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		tag := pnclient.NewTag()
		lb := b.bind(tag, a.id(), false)
		time.Sleep(delay + time.Millisecond)
		b.link.SetDown(true) // the Bounds are lost
		la := a.bind(tag, b.id(), true)
		isReady(t, la)
		b.link.SetDown(false)
		isReady(t, lb)
		hears(t, la, lb)
	})
}

// Whoever pays has to be admitted, and somebody has to pay.
func TestAdmission(t *testing.T) {
	friend, owner := newDevice(t, 1), identity.SecretFromSeed([32]byte{99})
	people, err := identity.NewPeople(owner, identity.PeopleDesc{}, identity.PeopleBody{Updated: 1, ValidUntil: uint64(time.Date(2000, 1, 1, 0, 40, 0, 0, time.UTC).UnixMilli())})
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(c *pn.Config) {
		c.Admission = pn.Admission{Devices: []identity.ID{friend.Device.ID()}, Owners: []*identity.People{people}, Tokens: true}
	}, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		refused := func(who *node, peer identity.ID, pays bool) {
			t.Helper()
			l := who.bind(pnclient.NewTag(), peer, pays)
			if err := isOver(t, l); !errors.Is(err, pnclient.ErrNotAllowed) {
				t.Errorf("%v", err)
			}
		}
		refused(b, a.id(), true)
		// The one who is admitted pays for the other, whoever comes first.
		la, lb := met(t, a, b)
		hears(t, lb, la)
		la.Close()
		isOver(t, lb)
		tag := pnclient.NewTag()
		lb = b.bind(tag, a.id(), false)
		time.Sleep(time.Second)
		la = a.bind(tag, b.id(), true)
		isReady(t, lb)
		hears(t, lb, la)
		// If nobody pays the second is told.
		tag = pnclient.NewTag()
		b.bind(tag, a.id(), false)
		time.Sleep(time.Second)
		if err := isOver(t, a.bind(tag, b.id(), false)); !errors.Is(err, pnclient.ErrNotAllowed) {
			t.Errorf("nobody pays: %v", err)
		}
		// A token admits its subject, until it expires.
		try := func(token []byte, who *node) error {
			l := new(leg)
			if l.Binding, err = who.client.Bind(pnclient.BindOptions{Tag: pnclient.NewTag(), Peer: a.id(), Pays: true, Token: token, Sink: l}); err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			time.Sleep(time.Second)
			return l.Err()
		}
		token := func(issuer *identity.Secret, subject, at identity.ID, life time.Duration) []byte {
			b, err := pn.NewToken(issuer, subject, at, time.Now().Add(life), 7)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		self := w.config.Local.Secret
		good := token(self, b.id(), w.pn.Ref().ID, time.Minute)
		if err := try(good, b); err != nil {
			t.Errorf("with a token: %v", err)
		}
		if err := try(token(self, b.id(), identity.ID{}, time.Minute), b); err != nil {
			t.Errorf("with a token for all PNs: %v", err)
		}
		forged := slices.Clone(good)
		forged[70]++
		for what, bad := range map[string][]byte{
			"forged": forged, "cut": good[:100], "expired": token(self, b.id(), identity.ID{}, -time.Second),
			"another's": token(self, a.id(), identity.ID{}, time.Minute), "for another PN": token(self, b.id(), a.id(), time.Minute),
			"of another issuer": token(owner, b.id(), identity.ID{}, time.Minute),
		} {
			if err := try(bad, b); !errors.Is(err, pnclient.ErrNotAllowed) {
				t.Errorf("token that is %s: %v", what, err)
			}
		}
		time.Sleep(time.Minute)
		if err := try(good, b); !errors.Is(err, pnclient.ErrNotAllowed) {
			t.Errorf("token that has expired: %v", err)
		}
		// A member of a listed zone is admitted until its owner's object expires.
		host := w.net.Host("member")
		link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: delay}, "198.51.100.5"))
		m := w.newNodeOn(host, link, newMember(t, owner, people, 5)).online()
		lm, lb := met(t, m, b)
		hears(t, lm, lb)
		start := time.Now()
		var e *pnclient.BindError
		for lm.Err() == nil && time.Since(start) < time.Hour {
			lm.SendRun([]byte("still here"), 0, 0)
			time.Sleep(10 * time.Second)
		}
		if err := lm.Err(); !errors.As(err, &e) || e.Reason != wire.UnboundUnlisted || time.Since(start) < 30*time.Minute {
			t.Errorf("over %v after the start: %v", time.Since(start), err)
		}
		refused(m, b.id(), true)
		refused(newStranger(t, w, people), b.id(), true)
	})
}

// newMember returns a device of an owner's zone.
func newMember(t testing.TB, owner *identity.Secret, p *identity.People, n byte) *identity.LocalDevice {
	t.Helper()
	secret := identity.SecretFromSeed([32]byte{n, 1})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{Owner: p.ID(), UniqueID: [16]byte{n}}, identity.DeviceBody{Updated: 1000})
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.Approve(owner, d)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&identity.LocalDevice{Secret: secret, Device: d}).Accept(a, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newStranger adds a device that claims to be of a zone.
func newStranger(t *testing.T, w *world, p *identity.People) *node {
	secret := identity.SecretFromSeed([32]byte{6, 1})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{Owner: p.ID()}, identity.DeviceBody{Updated: 1000})
	if err != nil {
		t.Fatal(err)
	}
	host := w.net.Host("stranger")
	link := netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: delay}, "198.51.100.6"))
	return w.newNodeOn(host, link, &identity.LocalDevice{Secret: secret, Device: d}).online()
}

// A device that moves is followed once it has proven its new place; who has only copied its
// packets is not.
func TestMove(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		hears(t, la, lb)

		// Another port: what a NAT that has forgotten its mapping does.
		old := a.sock
		a.open(0)
		a.sock.SetRelay(pnAddr, a.client)
		old.Close()
		if got := say(t, la, lb, "too soon"); len(got) != 0 {
			t.Errorf("forwarded from a place that is not proven: %q", got)
		}
		start := time.Now()
		a.client.Rehome()
		for w.pn.Stats().Moves == 0 {
			time.Sleep(time.Millisecond)
			if time.Since(start) > time.Second {
				t.Fatal("has not moved")
			}
		}
		// Ping there, challenge back, reply there: one and a half round trips.
		if took := time.Since(start); took > 31*time.Millisecond {
			t.Errorf("moved after %v", took)
		}
		hears(t, la, lb)
		hears(t, lb, la)
		if st := w.pn.Stats(); st.DropElsewhere != 1 || st.Challenges != 1 || st.Sessions != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A PN that was restarted is found again, and what was bound is bound again.
func TestRestart(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		w.pnLink.SetDown(true) // it has no time to say goodbye
		w.pn.Close()
		w.pnLink.SetDown(false)
		w.startPN()
		if got := say(t, la, lb, "lost"); len(got) != 0 {
			t.Fatalf("%q", got)
		}
		a.client.Check()
		b.client.Check()
		time.Sleep(time.Second)
		hears(t, la, lb)
		hears(t, lb, la)
		// Without being told they find out by their pings.
		w.pnLink.SetDown(true)
		w.pn.Close()
		w.pnLink.SetDown(false)
		w.startPN()
		time.Sleep(30 * time.Second)
		hears(t, lb, la)
		if got := a.stateLog(); !slices.Equal(got, []pnclient.State{pnclient.Online}) {
			t.Errorf("states %v", got)
		}
	})
}

// A PN that drains tells its devices, lets them finish, and takes nothing new.
func TestDrain(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			w.pn.Drain(context.Background())
		}()
		time.Sleep(time.Second)
		if a.client.State() != pnclient.Draining || b.client.State() != pnclient.Draining {
			t.Errorf("states %v and %v", a.client.State(), b.client.State())
		}
		hears(t, la, lb)
		if err := isOver(t, a.bind(pnclient.NewTag(), b.id(), true)); !errors.Is(err, pnclient.ErrDraining) {
			t.Errorf("a new binding: %v", err)
		}
		late := w.newNode(3, "198.51.100.3")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := late.client.WaitOnline(ctx); err == nil {
			t.Error("a new device got in")
		}
		select {
		case <-drained:
			t.Fatal("drained with a binding left")
		default:
		}
		la.Close()
		<-drained
		w.pn.Close()
		time.Sleep(delay)
		synctest.Wait()
		if a.client.State() != pnclient.Offline {
			t.Errorf("after goodbye %v", a.client.State())
		}
		isOver(t, lb)
	})
}

// What ends by itself: a half, an idle binding, a silent session.
func TestExpiry(t *testing.T) {
	inWorld(t, func(c *pn.Config) { c.Idle = 20 * time.Second }, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		start := time.Now()
		for range 10 { // pings do not keep it, packets do
			hears(t, la, lb)
			time.Sleep(15 * time.Second)
		}
		var e *pnclient.BindError
		err := isOver(t, la)
		if !errors.As(err, &e) || e.Reason != wire.UnboundIdle {
			t.Errorf("idle: %v", err)
		}
		isOver(t, lb)
		if idle := time.Since(start) - 10*15*time.Second; idle < 5*time.Second || idle > 15*time.Second {
			t.Errorf("ended %v after the last look", idle)
		}
		// A half whose device has gone silent.
		a.bind(pnclient.NewTag(), b.id(), true)
		time.Sleep(time.Second)
		if st := w.pn.Stats(); st.Pairs != 1 {
			t.Errorf("%+v", st)
		}
		a.link.SetDown(true)
		time.Sleep(50 * time.Second)
		if st := w.pn.Stats(); st.Pairs != 0 || st.Sessions != 2 {
			t.Errorf("the half: %+v", st)
		}
		time.Sleep(130 * time.Second)
		if st := w.pn.Stats(); st.Sessions != 1 || st.Expired != 1 || st.Payers != 0 {
			t.Errorf("the session: %+v", st)
		}
	})
}

// A quota ends what its payer pays for, and a rate drops what exceeds it.
func TestQuota(t *testing.T) {
	inWorld(t, func(c *pn.Config) { c.Limits.PayerDaily = 100_000; c.Limits.Pair = 64 << 10 }, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		run := make([]byte, 40*1000)
		for range 4 {
			if err := la.SendRun(run, 1000, 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		st := w.pn.Stats()
		if st.DropQuota == 0 || st.Bytes > 100_000 || st.Bytes < 90_000 {
			t.Errorf("%+v", st)
		}
		var e *pnclient.BindError
		if err := isOver(t, la); !errors.As(err, &e) || e.Reason != wire.UnboundQuota {
			t.Errorf("over: %v", err)
		}
		isOver(t, lb)
		if err := isOver(t, a.bind(pnclient.NewTag(), b.id(), true)); !errors.Is(err, pnclient.ErrTooMany) {
			t.Errorf("bind after that: %v", err)
		}
		if testing.Short() {
			return // a day takes long
		}
		// A day later there is more.
		time.Sleep(24 * time.Hour)
		a.online()
		b.online()
		la, lb = met(t, a, b)
		hears(t, la, lb)
	})
	inWorld(t, func(c *pn.Config) { c.Limits.Pair = 64 << 10 }, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, _ := met(t, a, b)
		run := make([]byte, 10*1000)
		for range 100 { // ten times the rate for ten seconds
			if err := la.SendRun(run, 1000, 0); err != nil {
				t.Fatal(err)
			}
			time.Sleep(16 * time.Millisecond)
		}
		// 1.6 s at 64 KiB, and the burst of 128 KiB.
		if st := w.pn.Stats(); st.Bytes < 220<<10 || st.Bytes > 240<<10 || st.DropRate == 0 {
			t.Errorf("%+v", st)
		}
	})
}

// Garbage and replays forward nothing, and the PN goes on.
func TestGarbage(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		la, lb := met(t, a, b)
		send := func(p []byte) { a.sock.Send(pnAddr, p) }
		good := (&wire.Relayed{Tag: la.Relay().Tag, Packet: []byte("h")}).Append(nil)
		for n := range good {
			send(good[:max(n, 1)])
		}
		for _, first := range []byte{0, 0x20, 0x23, 0x29, 0x2a, 0x2b, 0x40, 0xff} {
			for _, n := range []int{1, 20, 21, 32, 700, 1200, 1400} {
				p := make([]byte, n)
				p[0] = first
				if n > 1 {
					p[1] = wire.Version
				}
				send(p)
			}
		}
		other := (&wire.Relayed{Packet: []byte("no such tag")}).Append(nil)
		send(other)
		time.Sleep(time.Second)
		if st := w.pn.Stats(); st.Packets != 0 || st.DropMalformed == 0 || st.DropUnknown == 0 {
			t.Errorf("%+v", st)
		}
		if got := lb.take(); len(got) != 0 {
			t.Errorf("%d packets came through", len(got))
		}
		hears(t, la, lb)
	})
}
