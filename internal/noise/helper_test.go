package noise

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// start is when tests begin.
var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// newLocal returns the device number n, the same at each call, whose ephemeral
// keys are the same in each run.
func newLocal(tb testing.TB, n byte) *Local {
	tb.Helper()
	l := NewLocal(newIdentity(tb, n))
	l.random = newRandom(uint64(n))
	return l
}

func newIdentity(tb testing.TB, n byte) *identity.LocalDevice {
	tb.Helper()
	secret := identity.SecretFromSeed([32]byte{n})
	device, err := identity.NewDevice(secret,
		identity.DeviceDesc{UniqueID: [16]byte{15: n}},
		identity.DeviceBody{Name: "device", Updated: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: device}
}

func newRandom(seed uint64) io.Reader {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], seed)
	return rand.NewChaCha8(sha256.Sum256(b[:]))
}

// ordered returns two devices, the one of the lower id first.
func ordered(tb testing.TB) (low, high *Local) {
	low, high = newLocal(tb, 1), newLocal(tb, 2)
	if low.id.Compare(high.id) > 0 {
		low, high = high, low
	}
	return low, high
}

func initiate(tb testing.TB, from, to *Local, o Offer) *Initiator {
	tb.Helper()
	i, err := from.Initiate(to.Device(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

func read(tb testing.TB, l *Local, pkt []byte) *Incoming {
	tb.Helper()
	in, err := l.ReadInitiation(pkt)
	if err != nil {
		tb.Fatal(err)
	}
	return in
}

func accept(tb testing.TB, in *Incoming, a Accept) ([]byte, *Association) {
	tb.Helper()
	pkt, assoc, err := in.Accept(a)
	if err != nil {
		tb.Fatal(err)
	}
	return pkt, assoc
}

// associate completes a handshake, without rekeying anything.
func associate(tb testing.TB, from, to *Local) (initiator, responder *Association) {
	tb.Helper()
	i := initiate(tb, from, to, Offer{Index: 11})
	pkt, responder := accept(tb, read(tb, to, i.Packet()), Accept{Index: 22})
	answer, err := i.ReadResponse(pkt)
	if err != nil {
		tb.Fatal(err)
	}
	return answer.Association, responder
}

func seal(tb testing.TB, a *Association, msg string, now time.Time) []byte {
	tb.Helper()
	pkt, err := a.Seal(nil, []byte(msg), now)
	if err != nil {
		tb.Fatal(err)
	}
	return pkt
}

// flip returns a copy of pkt with one bit of byte i changed.
func flip(pkt []byte, i int) []byte {
	b := append([]byte(nil), pkt...)
	b[i] ^= 1 << (i % 8)
	return b
}

// golden returns the value of a name in testdata/handshake.golden.
func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/handshake.golden")
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			b, err := hex.DecodeString(strings.TrimSpace(value))
			if err != nil {
				tb.Fatal(err)
			}
			return b
		}
	}
	tb.Fatalf("no %q in the golden file", name)
	return nil
}

var allEngines = []wire.Engine{wire.EngineQUIC, wire.EngineNQUIC}
