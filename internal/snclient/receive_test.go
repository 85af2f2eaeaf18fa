package snclient

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// A bench is an owner without a goroutine, and the keys of its SN.
type bench struct {
	t      testing.TB
	o      *owner
	sn     *identity.LocalDevice
	at     netip.AddrPort
	sent   [][]byte
	called int
	assoc  *noise.Association // the SN's side
	now    time.Time
}

func (b *bench) HandleCalled(*Client, wire.Called)            { b.called++ }
func (b *bench) HandleSignalled(*Client, identity.ID, []byte) {}
func (b *bench) HandleState(*Client, State)                   {}

func testDevice(t testing.TB, n byte) *identity.LocalDevice {
	t.Helper()
	secret := identity.SecretFromSeed([32]byte{n})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: [16]byte{1}}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{t: t, sn: testDevice(t, 2), at: netip.MustParseAddrPort("203.0.113.1:8443"), now: time.Now()}
	ref, err := identity.NewRef(b.sn.Device.ID(), b.at.String())
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{
		Local:   noise.NewLocal(testDevice(t, 1)),
		Ref:     ref,
		Network: underlay.OS(), // never asked: the address is literal
		Send: func(_ netip.AddrPort, p []byte) error {
			b.sent = append(b.sent, append([]byte(nil), p...))
			return nil
		},
		Indices:  noise.NewTable[int](0).For(1),
		Stamper:  noise.NewStamper(0, nil),
		Instance: 3,
		Handler:  b,
	})
	b.o = newOwner(c)
	return b
}

// step lets the owner do what is due, and returns the last packet it sent.
func (b *bench) step() []byte {
	b.t.Helper()
	b.sent = nil
	b.o.step(context.Background(), b.now)
	if len(b.sent) == 0 {
		b.t.Fatal("nothing was sent")
	}
	return b.sent[len(b.sent)-1]
}

// seal returns a packet of the SN.
func (b *bench) seal(msg []byte) []byte {
	b.t.Helper()
	p, err := b.assoc.Seal(nil, msg, b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// The stages that bring a bench online, each ending before the SN's next answer.
var stages = []func(b *bench){
	func(b *bench) { b.o.setServers(b.now, []netip.AddrPort{b.at}); b.step() },
	func(b *bench) {
		m := wire.Described{Nonce: b.o.nonce, Device: b.sn.Device.Bytes()}
		b.o.receive(b.now, m.Append(nil), b.at)
	},
	func(b *bench) {
		in, err := noise.NewLocal(b.sn).ReadInitiation(b.step())
		if err != nil {
			b.t.Fatal(err)
		}
		res, assoc, err := in.Accept(noise.Accept{Index: 9})
		if err != nil {
			b.t.Fatal(err)
		}
		b.assoc = assoc
		b.o.receive(b.now, res, b.at)
	},
	func(b *bench) {
		msg, err := b.assoc.Open(nil, b.step(), b.now)
		if err != nil {
			b.t.Fatal(err)
		}
		reg, err := wire.ParseRegister(msg)
		if err != nil {
			b.t.Fatal(err)
		}
		ans := wire.Registered{Request: reg.Request, Observed: b.at, Interval: 25 * time.Second}
		b.o.receive(b.now, b.seal(ans.Append(nil)), b.at)
		if b.o.State() != Online {
			b.t.Fatal("not online")
		}
	},
}

// online returns a bench that has been through the first n stages.
func benchAt(t testing.TB, n int) *bench {
	t.Helper()
	b := newBench(t)
	for _, f := range stages[:n] {
		f(b)
	}
	return b
}

// answersOf returns one of each message that an SN may send.
func answersOf() [][]byte {
	addr := netip.MustParseAddrPort("198.51.100.1:5")
	list := []wire.Candidate{{Kind: wire.CandidateHost, Addr: addr}}
	var all [][]byte
	for _, m := range []message{
		&wire.Pong{Request: 1, Reregister: true, Observed: addr},
		&wire.Registered{Request: 1, Status: wire.StatusTooOld, Observed: addr, Interval: time.Second},
		&wire.Found{Request: 1, Object: []byte("object")},
		&wire.Published{Request: 1},
		&wire.CallReply{Request: 1, Candidates: list, Device: []byte("device")},
		&wire.Called{Call: 1, Candidates: list, Relay: &wire.Relay{}, Initiation: []byte("initiation")},
		&wire.Called{Call: 2, Device: []byte("device")},
		&wire.Signalled{Packet: []byte("packet")},
		&wire.Challenge{Token: 1},
		&wire.Notice{Code: wire.NoticeDraining},
		&wire.Notice{Code: wire.NoticeSuperseded},
	} {
		all = append(all, m.Append(nil))
	}
	return all
}

// Every message of the SN, cut at every byte, at every stage, is survived; what
// is whole afterwards is acted on.
func TestEveryAnswerCutAtEveryByte(t *testing.T) {
	for n := 3; n <= len(stages); n++ {
		b := benchAt(t, n)
		for _, msg := range answersOf() {
			for cut := range msg {
				b.o.receive(b.now, b.seal(msg[:cut]), b.at)
			}
		}
		if b.called != 0 {
			t.Errorf("stage %d: cut messages were acted on", n)
		}
		called := wire.Called{Call: 5, Device: []byte("device")}
		b.sent = nil
		b.o.receive(b.now, b.seal(called.Append(nil)), b.at)
		b.o.receive(b.now, b.seal(called.Append(nil)), b.at)
		if b.called != 1 || len(b.sent) != 2 {
			t.Errorf("stage %d: call acted on %d times, %d acknowledgements to two copies", n, b.called, len(b.sent))
		}
	}
}

// What does not come from the SN's addresses, or can be told to be forged, does not
// reach the owner, and a flood of the rest does not grow the queue.
func TestInboxIsBounded(t *testing.T) {
	b := benchAt(t, len(stages))
	hint := wire.Hint{Receiver: b.o.link.Load().assoc.RemoteIndex()}
	b.o.HandleControl(hint.Append(nil), netip.MustParseAddrPort("203.0.113.1:9"))
	b.o.HandleControl(make([]byte, wire.MaxPacket+1), b.at)
	forged := wire.Hint{Receiver: hint.Receiver + 1}
	b.o.HandleControl(forged.Append(nil), b.at)
	described := wire.Described{Nonce: [8]byte{1}, Device: b.sn.Device.Bytes()}
	b.o.HandleControl(described.Append(nil), b.at)
	b.o.HandleControl([]byte{0xff, wire.Version, 0, 0, 0, 0}, b.at)
	if n := len(b.o.inbox); n != 0 {
		t.Errorf("%d packets that cannot be the SN's are queued", n)
	}
	for range 10 * inboxLimit {
		b.o.HandleControl(hint.Append(nil), b.at)
	}
	if n := len(b.o.inbox); n != inboxLimit {
		t.Errorf("%d packets are queued, want %d", n, inboxLimit)
	}
}

// answerRegister has the SN answer the Register that is due.
func (b *bench) answerRegister(status wire.Status) wire.Register {
	b.t.Helper()
	msg, err := b.assoc.Open(nil, b.step(), b.now)
	if err != nil {
		b.t.Fatal(err)
	}
	reg, err := wire.ParseRegister(msg)
	if err != nil {
		b.t.Fatal(err)
	}
	ans := wire.Registered{Request: reg.Request, Status: status, Observed: b.at, Interval: 25 * time.Second}
	b.o.receive(b.now, b.seal(ans.Append(nil)), b.at)
	return reg
}

func TestRegisteredStatuses(t *testing.T) {
	for status, want := range map[wire.Status]State{
		wire.StatusOK:         Online,
		wire.StatusTooOld:     Online,
		wire.StatusSuperseded: Superseded,
		wire.StatusTooMany:    Offline,
		wire.StatusNotAllowed: Offline,
	} {
		b := benchAt(t, 3)
		b.answerRegister(status)
		if got := b.o.State(); got != want {
			t.Errorf("registered with status %v: %v, want %v", status, got, want)
		}
		if (want == Offline) == b.o.backoff.IsZero() {
			t.Errorf("registered with status %v: starts over at %v", status, b.o.backoff)
		}
	}
}

// The descriptor travels in the handshake, and in a Register only when it is new.
func TestDescriptorTravelsOnce(t *testing.T) {
	b := benchAt(t, 3)
	if reg := b.answerRegister(wire.StatusOK); reg.Device != nil {
		t.Error("the descriptor of the handshake is registered again")
	}
	local := testDevice(t, 1)
	d, err := local.Device.Update(local.Secret, identity.DeviceBody{Updated: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.o.cfg.Local.SetDevice(d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{len(d.Bytes()), 0} {
		b.o.refresh(context.Background(), b.now)
		b.o.ping.Stop() // so that the Register is the last packet
		if reg := b.answerRegister(wire.StatusOK); len(reg.Device) != want {
			t.Errorf("a descriptor of %d bytes is registered, want %d", len(reg.Device), want)
		}
	}
}

func TestRefusedHandshake(t *testing.T) {
	b := benchAt(t, 2)
	in, err := noise.NewLocal(b.sn).ReadInitiation(b.step())
	if err != nil {
		t.Fatal(err)
	}
	res, err := in.Refuse("closed for repairs")
	if err != nil {
		t.Fatal(err)
	}
	b.o.receive(b.now, res, b.at)
	if b.o.State() != Offline || b.o.backoff.IsZero() || b.o.handshake.Active() {
		t.Errorf("after a refusal: %v, starts over at %v", b.o.State(), b.o.backoff)
	}
}

// Back-off grows from 1 s to 60 s and no further.
func TestBackoff(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		b.o.fail(b.now, "test")
		wait := b.o.backoff.Sub(b.now)
		least := min(backoffMin<<min(i, 6), backoffBase)
		if wait < least || wait > least*3/2 {
			t.Errorf("failure %d: starts over after %v", i, wait)
		}
	}
}

// An SN cannot pass one device or object off as another: the client checks.
func TestLyingServer(t *testing.T) {
	b := benchAt(t, len(stages))
	out := make(chan []byte, 10)
	b.o.cfg.Send = func(_ netip.AddrPort, p []byte) error {
		out <- append([]byte(nil), p...)
		return nil
	}
	other, asked := testDevice(t, 3).Device, testDevice(t, 4).Device.ID()
	forged := append([]byte(nil), testDevice(t, 4).Device.Bytes()...)
	forged[len(forged)-1] ^= 1
	ctx := context.Background()
	call := func() error { _, err := b.o.Call(ctx, asked, CallOptions{}); return err }
	lookup := func() error { _, err := b.o.Lookup(ctx, asked); return err }
	publish := func() error { return b.o.Publish(ctx, other) }
	for _, c := range []struct {
		what   string
		ask    func() error
		answer func(n uint32) message
	}{
		{"another device", call, func(n uint32) message { return &wire.CallReply{Request: n, Device: other.Bytes()} }},
		{"a forged device", call, func(n uint32) message { return &wire.CallReply{Request: n, Device: forged} }},
		{"no device", call, func(n uint32) message { return &wire.CallReply{Request: n} }},
		{"an answer to something else", call, func(n uint32) message { return &wire.Published{Request: n} }},
		{"another object", lookup, func(n uint32) message { return &wire.Found{Request: n, Object: other.Bytes()} }},
		{"a forged object", lookup, func(n uint32) message { return &wire.Found{Request: n, Object: forged} }},
		{"an answer to something else", lookup, func(n uint32) message { return &wire.Published{Request: n} }},
		{"an answer to something else", publish, func(n uint32) message { return &wire.Found{Request: n} }},
	} {
		result := make(chan error)
		go func() { result <- c.ask() }()
		msg, err := b.assoc.Open(nil, <-out, b.now)
		if err != nil {
			t.Fatal(err)
		}
		// All requests begin with type and number (docs/spec/wire.md §6).
		ans := c.answer(binary.BigEndian.Uint32(msg[1:]))
		b.o.receive(b.now, b.seal(ans.Append(nil)), b.at)
		if err := <-result; !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if n := len(b.o.requests.waiting); n != 0 {
		t.Errorf("%d requests still wait", n)
	}
}

func TestPongAsksToRegister(t *testing.T) {
	b := benchAt(t, len(stages))
	msg, err := b.assoc.Open(nil, b.step(), b.now)
	if err != nil {
		t.Fatal(err)
	}
	ping, err := wire.ParsePing(msg)
	if err != nil {
		t.Fatal(err)
	}
	pong := wire.Pong{Request: ping.Request + 1, Reregister: true, Observed: b.at}
	b.o.receive(b.now, b.seal(pong.Append(nil)), b.at)
	if b.o.register.Active() {
		t.Error("the answer to no ping of ours was believed")
	}
	pong.Request = ping.Request
	b.o.receive(b.now, b.seal(pong.Append(nil)), b.at)
	b.answerRegister(wire.StatusOK)
}

// A challenge is answered, and what was on its way is repeated behind the answer.
func TestChallenge(t *testing.T) {
	b := benchAt(t, len(stages))
	b.step() // the first ping
	b.sent = nil
	challenge := wire.Challenge{Token: 42}
	b.o.receive(b.now, b.seal(challenge.Append(nil)), b.at)
	b.o.step(context.Background(), b.now)
	if len(b.sent) != 2 {
		t.Fatalf("%d packets, want an answer and a ping", len(b.sent))
	}
	answer, err := b.assoc.Open(nil, b.sent[0], b.now)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := wire.ParseChallengeReply(answer); err != nil || m.Token != 42 {
		t.Errorf("answer %+v, %v", m, err)
	}
	again, err := b.assoc.Open(nil, b.sent[1], b.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ParsePing(again); err != nil {
		t.Error(err)
	}
}

// A Notice counts for the association that it came under, and a superseded client
// is not brought back by a hint.
func TestNoticeSuperseded(t *testing.T) {
	b := benchAt(t, len(stages))
	old := b.assoc
	b.now = b.now.Add(time.Second)
	b.o.ping.Stop() // so that the initiation is the last packet
	b.o.shake(b.now)
	stages[2](b)
	b.answerRegister(wire.StatusOK)
	notice := wire.Notice{Code: wire.NoticeSuperseded}
	late, err := old.Seal(nil, notice.Append(nil), b.now)
	if err != nil {
		t.Fatal(err)
	}
	b.o.receive(b.now, late, b.at)
	if s := b.o.State(); s != Online {
		t.Errorf("%v by a notice to the association before", s)
	}
	b.o.receive(b.now, b.seal(notice.Append(nil)), b.at)
	if s := b.o.State(); s != Superseded {
		t.Errorf("%v by a notice", s)
	}
	hint := wire.Hint{Receiver: b.assoc.LocalIndex()}
	b.now = b.now.Add(time.Minute)
	b.o.receive(b.now, hint.Append(nil), b.at)
	if b.o.handshake.Active() || b.o.exchange.Pending() {
		t.Error("a hint brings a superseded client back")
	}
}
