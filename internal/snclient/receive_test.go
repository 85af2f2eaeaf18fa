package snclient

import (
	"context"
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

// What does not come from the SN's addresses does not reach the owner, and a
// flood from there does not grow the queue.
func TestInboxIsBounded(t *testing.T) {
	b := benchAt(t, len(stages))
	hint := wire.Hint{Receiver: 77}
	b.o.HandleControl(hint.Append(nil), netip.MustParseAddrPort("203.0.113.1:9"))
	b.o.HandleControl(make([]byte, wire.MaxPacket+1), b.at)
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
