package noise

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	flynn "github.com/flynn/noise"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// TestHandshake follows one handshake with every field in use.
func TestHandshake(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{
		Index: 11, Stamp: 1000, Rekeys: 77, Dialling: true, Engines: allEngines, Early: []byte("question"),
	})
	in := read(t, bob, i.Packet())
	if in.Device.ID() != alice.ID() || in.Index != 11 || in.Hash != hashInitiation(i.Packet()) {
		t.Errorf("incoming: device %v, index %d", in.Device.ID(), in.Index)
	}
	p := in.Payload
	if p.Stamp != 1000 || p.Rekeys != 77 || !p.Dialling || !slices.Equal(p.Engines, allEngines) || string(p.Early) != "question" {
		t.Errorf("initiation's payload: %+v", p)
	}
	candidates := []wire.Candidate{{Kind: wire.CandidateHost, Addr: netip.MustParseAddrPort("192.0.2.1:9")}}
	pkt, b := accept(t, in, Accept{
		Index: 22, Stamp: 2000, GoesOn: true, Engine: wire.EngineNQUIC, Candidates: candidates, Early: []byte("answer"),
	})
	answer, err := i.ReadResponse(pkt)
	if err != nil {
		t.Fatal(err)
	}
	r := answer.Payload
	if r.Kind != wire.ResponseAccept || r.Stamp != 2000 || r.Dialling || !r.GoesOn || r.Engine != wire.EngineNQUIC ||
		!slices.Equal(r.Candidates, candidates) || string(r.Early) != "answer" || answer.Device != nil {
		t.Errorf("response's payload: %+v", r)
	}
	a := answer.Association
	if a.Remote() != bob.ID() || b.Remote() != alice.ID() {
		t.Error("wrong remote ids")
	}
	if a.LocalIndex() != 11 || a.RemoteIndex() != 22 || b.LocalIndex() != 22 || b.RemoteIndex() != 11 {
		t.Error("wrong indices")
	}
	if a.Binding() != b.Binding() || a.Binding() == [32]byte{} {
		t.Error("bindings differ")
	}
	if a.SessionID() != 77 || b.SessionID() != 77 || !a.GoesOn() || !b.GoesOn() {
		t.Error("the session does not go on")
	}
	if !a.Client() || b.Client() || !a.Initiator() || b.Initiator() {
		t.Error("wrong roles")
	}
	if !a.Confirmed() || b.Confirmed() {
		t.Error("the initiator is to be confirmed at once, the responder later")
	}
	msg, err := b.Open(nil, seal(t, a, "hello", start), start)
	if err != nil || string(msg) != "hello" || !b.Confirmed() {
		t.Errorf("first sealed packet: %q, %v", msg, err)
	}
	if msg, err := a.Open(nil, seal(t, b, "welcome", start), start); err != nil || string(msg) != "welcome" {
		t.Errorf("answer to it: %q, %v", msg, err)
	}
	if _, err := i.ReadResponse(pkt); !errors.Is(err, ErrSpent) {
		t.Errorf("second response: %v", err)
	}
	if _, _, err := in.Accept(Accept{Index: 23}); !errors.Is(err, ErrSpent) {
		t.Errorf("second accept: %v", err)
	}
}

// TestHandshakeGolden fixes every byte of a handshake. GOLDEN=1 writes the file.
func TestHandshakeGolden(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{
		Index: 0x01020304, Stamp: 1_793_534_400_000_000, Rekeys: 5, Dialling: true, Engines: allEngines, Early: []byte("q"),
	})
	response, b := accept(t, read(t, bob, i.Packet()), Accept{Index: 0x0a0b0c0d, Stamp: 7, Engine: wire.EngineQUIC, Early: []byte("a")})
	answer, err := i.ReadResponse(response)
	if err != nil {
		t.Fatal(err)
	}
	binding := b.Binding()
	a := answer.Association
	first := seal(t, a, "first", start)
	if _, err := b.Open(nil, first, start); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(nil, seal(t, b, "", start), start); err != nil {
		t.Fatal(err)
	}
	next := seal(t, a, "next epoch", start.Add(epochTime))
	got := map[string][]byte{
		"initiation": i.Packet(), "response": response, "binding": binding[:], "sealed": first, "ratcheted": next,
	}
	if os.Getenv("GOLDEN") != "" {
		var text strings.Builder
		for _, name := range []string{"initiation", "response", "binding", "sealed", "ratcheted"} {
			fmt.Fprintf(&text, "%s %x\n", name, got[name])
		}
		if err := os.WriteFile("testdata/handshake.golden", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range got {
		if want := golden(t, name); !bytes.Equal(b, want) {
			t.Errorf("%s is\n%x, want\n%x", name, b, want)
		}
	}
}

// TestHandshakeIsNoise has a responder of flynn/noise alone, with its own DH
// function, understand our initiation, and us its response.
func TestHandshakeIsNoise(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{Index: 11})
	id, public := bob.ID(), bob.Device().NoiseKey()
	state, err := flynn.NewHandshakeState(flynn.Config{
		CipherSuite:   flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashBLAKE2s),
		Pattern:       flynn.HandshakeIK,
		Prologue:      append([]byte("bdt handshake\x01"), id[:]...),
		StaticKeypair: flynn.DHKey{Private: bob.secret.ECDH().Bytes(), Public: public[:]},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := wire.ParseInitiation(i.Packet())
	if err != nil {
		t.Fatal(err)
	}
	plain, _, _, err := state.ReadMessage(nil, m.Noise)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := wire.ParseInitiationPayload(plain); err != nil || !bytes.Equal(p.Device, alice.Device().Bytes()) {
		t.Errorf("payload %+v, %v", p, err)
	}
	payload := wire.ResponsePayload{Kind: wire.ResponseAccept}
	message, receive, _, err := state.WriteMessage(nil, payload.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := i.ReadResponse(respondWith(alice.ID(), wire.Response{Sender: 22, Receiver: 11, Noise: message}))
	if err != nil {
		t.Fatal(err)
	}
	pkt := seal(t, answer.Association, "hello", start)
	msg, err := receive.Decrypt(nil, pkt[:wire.SealedHeaderLen], pkt[wire.SealedHeaderLen:])
	if err != nil || string(msg) != "hello" {
		t.Errorf("sealed packet: %q, %v", msg, err)
	}
	if !bytes.Equal(state.ChannelBinding(), func() []byte { b := answer.Association.Binding(); return b[:] }()) {
		t.Error("binding is not Noise's handshake hash")
	}
}

// respondWith returns m with mac1 for a receiver.
func respondWith(to identity.ID, m wire.Response) []byte {
	pkt := m.Append(nil)
	putMAC1(pkt, newMACKey(labelMAC1, to))
	return pkt
}

// TestInitiationTampered changes every byte, with mac1 as it was and with mac1
// made anew, which anybody can who knows the responder's id.
func TestInitiationTampered(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	pkt := initiate(t, alice, bob, Offer{Index: 11, Early: []byte("q")}).Packet()
	for i := range mac2Offset(pkt) {
		if _, err := bob.ReadInitiation(flip(pkt, i)); err == nil {
			t.Errorf("byte %d changed: accepted", i)
		}
	}
	// The sender index is in the clear and proves nothing: a changed one leads the
	// response astray.
	for i := 8; i < mac1Offset(pkt); i++ {
		forged := flip(pkt, i)
		putMAC1(forged, bob.macKey)
		if _, err := bob.ReadInitiation(forged); !errors.Is(err, ErrDecrypt) {
			t.Errorf("byte %d changed, mac1 right: %v", i, err)
		}
	}
	for n := range pkt {
		if _, err := bob.ReadInitiation(pkt[:n]); err == nil {
			t.Errorf("cut to %d bytes: accepted", n)
		}
	}
}

// TestResponseTampered changes every byte, after which the true response must
// still be read.
func TestResponseTampered(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{Index: 11})
	pkt, b := accept(t, read(t, bob, i.Packet()), Accept{Index: 22})
	for n := range mac2Offset(pkt) {
		forged := flip(pkt, n)
		if _, err := i.ReadResponse(forged); err == nil {
			t.Fatalf("byte %d changed: accepted", n)
		}
		if n < 4 || n >= 8 && n < mac1Offset(pkt) { // the sender's index is not proven
			putMAC1(forged, alice.macKey)
			if _, err := i.ReadResponse(forged); err == nil {
				t.Fatalf("byte %d changed, mac1 right: accepted", n)
			}
		}
	}
	for n := range pkt {
		if _, err := i.ReadResponse(pkt[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	lowOrder := slices.Clone(pkt)
	clear(lowOrder[12:44]) // e
	putMAC1(lowOrder, alice.macKey)
	if _, err := i.ReadResponse(lowOrder); !errors.Is(err, ErrDecrypt) {
		t.Fatalf("ephemeral key of low order: %v", err)
	}
	answer, err := i.ReadResponse(pkt)
	if err != nil {
		t.Fatalf("true response after forged ones: %v", err)
	}
	if answer.Association.Binding() != b.Binding() {
		t.Error("forged responses changed the binding")
	}
}

func TestWrongResponder(t *testing.T) {
	alice, bob, carol := newLocal(t, 1), newLocal(t, 2), newLocal(t, 3)
	pkt := initiate(t, alice, bob, Offer{Index: 11}).Packet()
	if _, err := carol.ReadInitiation(pkt); !errors.Is(err, ErrMAC) {
		t.Errorf("initiation to another: %v", err)
	}
	putMAC1(pkt, carol.macKey)
	if _, err := carol.ReadInitiation(pkt); !errors.Is(err, ErrDecrypt) {
		t.Errorf("initiation to another, mac1 right: %v", err)
	}
	// The same static key under another id: the prologue tells them apart.
	twin := &Local{id: carol.id, secret: bob.secret, macKey: carol.macKey, random: bob.random}
	if _, err := twin.ReadInitiation(pkt); !errors.Is(err, ErrDecrypt) {
		t.Errorf("initiation to another id of the same key: %v", err)
	}
}

// impostor returns a Local with the keys of one device that claims to be another.
func impostor(keys, claimed *Local) *Local {
	l := &Local{id: claimed.id, secret: keys.secret, macKey: claimed.macKey, random: keys.random}
	l.device.Store(claimed.Device())
	return l
}

func TestInitiationDevice(t *testing.T) {
	alice, bob, carol := newLocal(t, 1), newLocal(t, 2), newLocal(t, 3)
	pkt := initiate(t, impostor(carol, alice), bob, Offer{Index: 11}).Packet()
	if _, err := bob.ReadInitiation(pkt); !errors.Is(err, ErrDevice) {
		t.Errorf("another's device: %v", err)
	}
	if _, err := bob.ReadInitiation(initiate(t, impostor(bob, carol), bob, Offer{Index: 11}).Packet()); !errors.Is(err, ErrDevice) {
		t.Errorf("our static key, another's device: %v", err)
	}
	same := NewLocal(newIdentity(t, 2))
	same.id = carol.id // past the initiator's own check
	if _, err := bob.ReadInitiation(initiate(t, same, bob, Offer{Index: 11}).Packet()); !errors.Is(err, ErrSelf) {
		t.Errorf("our own device: %v", err)
	}
	if _, err := bob.Initiate(bob.Device(), Offer{Index: 1}); !errors.Is(err, ErrSelf) {
		t.Errorf("initiation to ourselves: %v", err)
	}
}

// TestInitiationPayload hands the responder what only a genuine initiator can make
// wrong.
func TestInitiationPayload(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	static := bob.Device().NoiseKey()
	for name, c := range map[string]struct {
		sender  uint32
		payload []byte
		want    error
	}{
		"empty":     {11, nil, wire.ErrShort},
		"no device": {11, (&wire.InitiationPayload{}).Append(nil), identity.ErrTruncated},
		"bad device": {11, (&wire.InitiationPayload{
			Device: flip(alice.Device().Bytes(), len(alice.Device().Bytes())-1)}).Append(nil), identity.ErrSignature},
		"no index": {0, (&wire.InitiationPayload{Device: alice.Device().Bytes()}).Append(nil), ErrIndex},
	} {
		state, err := alice.handshake(bob.ID(), static[:])
		if err != nil {
			t.Fatal(err)
		}
		message, _, _, err := state.WriteMessage(nil, c.payload)
		if err != nil {
			t.Fatal(err)
		}
		m := wire.Initiation{Sender: c.sender, Noise: message}
		pkt := m.Append(nil)
		putMAC1(pkt, bob.macKey)
		if _, err := bob.ReadInitiation(pkt); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestResponsePayload hands the initiator what only the genuine responder can make
// wrong.
func TestResponsePayload(t *testing.T) {
	alice, bob, carol := newLocal(t, 1), newLocal(t, 2), newLocal(t, 3)
	for name, c := range map[string]struct {
		sender  uint32
		payload []byte
		want    error
	}{
		"empty":    {22, nil, wire.ErrShort},
		"no index": {0, (&wire.ResponsePayload{Kind: wire.ResponseAccept}).Append(nil), ErrIndex},
		"engine not offered": {22, (&wire.ResponsePayload{
			Kind: wire.ResponseAccept, Engine: wire.EngineYamux}).Append(nil), wire.ErrValue},
		"another's device": {22, (&wire.ResponsePayload{
			Kind: wire.ResponseAccept, Device: carol.Device().Bytes()}).Append(nil), ErrDevice},
		"garbled device": {22, (&wire.ResponsePayload{
			Kind: wire.ResponseAccept, Device: []byte{1, 2, 3}}).Append(nil), identity.ErrNotCanonical},
	} {
		i := initiate(t, alice, bob, Offer{Index: 11, Engines: allEngines})
		in := read(t, bob, i.Packet())
		message, _, _, err := in.noise.WriteMessage(nil, c.payload)
		if err != nil {
			t.Fatal(err)
		}
		pkt := respondWith(alice.ID(), wire.Response{Sender: c.sender, Receiver: 11, Noise: message})
		if _, err := i.ReadResponse(pkt); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// TestResponseCarriesDevice: but not where the response would outgrow what caused
// it.
func TestResponseCarriesDevice(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	candidates := make([]wire.Candidate, wire.MaxCandidates)
	for n := range candidates {
		candidates[n] = wire.Candidate{Kind: wire.CandidateHost, Addr: netip.MustParseAddrPort("[2001:db8::1]:9")}
	}
	for _, c := range []struct {
		early      int
		candidates []wire.Candidate
		want       bool
	}{{0, nil, true}, {0, candidates, false}, {wire.MaxInitiationEarly, candidates, true}} {
		i := initiate(t, alice, bob, Offer{Index: 11, Early: make([]byte, c.early)})
		pkt, _ := accept(t, read(t, bob, i.Packet()), Accept{Index: 22, WithDevice: true, Candidates: c.candidates})
		answer, err := i.ReadResponse(pkt)
		if err != nil {
			t.Fatal(err)
		}
		if len(pkt) > len(i.Packet()) {
			t.Errorf("%d bytes answered by %d", len(i.Packet()), len(pkt))
		}
		if got := answer.Device != nil; got != c.want {
			t.Errorf("early data %d, candidates %d: device carried: %v", c.early, len(c.candidates), got)
		}
		if c.want && answer.Device.ID() != bob.ID() {
			t.Errorf("device %v", answer.Device.ID())
		}
	}
}

func TestNoSession(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{Index: 11, Stamp: 5})
	pkt, err := read(t, bob, i.Packet()).Stale(9)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := i.ReadResponse(pkt)
	if err != nil || answer.Payload.Kind != wire.ResponseStale || answer.Payload.Stamp != 9 || answer.Association != nil {
		t.Errorf("stale: %+v, %v", answer, err)
	}
	i = initiate(t, alice, bob, Offer{Index: 12})
	if pkt, err = read(t, bob, i.Packet()).Refuse("not today"); err != nil {
		t.Fatal(err)
	}
	answer, err = i.ReadResponse(pkt)
	if err != nil || answer.Payload.Kind != wire.ResponseRefused || string(answer.Payload.Early) != "not today" || answer.Association != nil {
		t.Errorf("refused: %+v, %v", answer, err)
	}
}

func TestLimits(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	for name, c := range map[string]struct {
		offer Offer
		want  error
	}{
		"no index":     {Offer{}, ErrIndex},
		"five engines": {Offer{Index: 1, Engines: make([]wire.Engine, 5)}, wire.ErrValue},
		"engine none":  {Offer{Index: 1, Engines: make([]wire.Engine, 1)}, wire.ErrValue},
		"early data":   {Offer{Index: 1, Early: make([]byte, wire.MaxInitiationEarly+1)}, ErrTooLarge},
	} {
		if _, err := alice.Initiate(bob.Device(), c.offer); !errors.Is(err, c.want) {
			t.Errorf("offer with %s: %v", name, err)
		}
	}
	i := initiate(t, alice, bob, Offer{Index: 1, Early: make([]byte, wire.MaxInitiationEarly)})
	in := read(t, bob, i.Packet())
	for name, c := range map[string]struct {
		accept Accept
		want   error
	}{
		"no index":   {Accept{}, ErrIndex},
		"candidates": {Accept{Index: 1, Candidates: make([]wire.Candidate, wire.MaxCandidates+1)}, ErrTooLarge},
		"early data": {Accept{Index: 1, Early: make([]byte, wire.MaxResponseEarly+1)}, ErrTooLarge},
	} {
		if _, _, err := in.Accept(c.accept); !errors.Is(err, c.want) {
			t.Errorf("accept with %s: %v", name, err)
		}
	}
	if _, err := in.Refuse(strings.Repeat("x", wire.MaxReason+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long reason: %v", err)
	}
	if _, _, err := in.Accept(Accept{Index: 1, Early: make([]byte, wire.MaxResponseEarly)}); err != nil {
		t.Errorf("accept after refused attempts: %v", err)
	}
}

func TestIsClient(t *testing.T) {
	low, high := identity.ID{1}, identity.ID{2}
	for _, c := range []struct {
		initiator, lowDials, highDials bool // initiator: low is
		want                           bool // low is the client
	}{
		{true, true, true, true}, {false, true, true, true},
		{true, true, false, true}, {false, true, false, true},
		{true, false, true, false}, {false, false, true, false},
		{true, false, false, true}, {false, false, false, false},
	} {
		if got := isClient(low, high, c.initiator, c.lowDials, c.highDials); got != c.want {
			t.Errorf("%+v: low is the client: %v", c, got)
		}
		if got := isClient(high, low, !c.initiator, c.highDials, c.lowDials); got == c.want {
			t.Errorf("%+v: both ends are the same", c)
		}
	}
}

// TestPacketSizes: lengths are as in wire.md §2, §3 and §7.
func TestPacketSizes(t *testing.T) {
	alice, bob := newLocal(t, 1), newLocal(t, 2)
	i := initiate(t, alice, bob, Offer{Index: 11, Engines: []wire.Engine{1, 2, 3, 200}, Early: make([]byte, wire.MaxInitiationEarly)})
	if got, want := len(i.Packet()), 722-560+len(alice.Device().Bytes())+wire.MaxInitiationEarly; got != want {
		t.Errorf("initiation of %d bytes, want %d", got, want)
	}
	pkt, _ := accept(t, read(t, bob, i.Packet()), Accept{Index: 22, Early: make([]byte, 10)})
	if got, want := len(pkt), 92+1+1+8+1+2+1+2+10; got != want {
		t.Errorf("response of %d bytes, want %d", got, want)
	}
	if empty := len(respondWith(alice.ID(), wire.Response{})); responseOverhead != empty+32+16 {
		t.Errorf("responseOverhead is %d, want %d", responseOverhead, empty+48)
	}
}
