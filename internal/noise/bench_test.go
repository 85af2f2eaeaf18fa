package noise

import (
	"crypto/ecdh"
	"fmt"
	"io"
	"runtime"
	"testing"

	flynn "github.com/flynn/noise"

	"github.com/bdtnet/bdt/internal/wire"
)

// BenchmarkHandshake is a whole handshake, both sides, signature check included;
// and beside it Noise alone, with our DH function, flynn/noise's, and one over
// crypto/ecdh.
func BenchmarkHandshake(b *testing.B) {
	alice, bob := newLocal(b, 1), newLocal(b, 2)
	b.Run("both sides", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			associateWith(b, alice, bob)
		}
	})
	b.Run("responder", func(b *testing.B) {
		pkt := initiate(b, alice, bob, Offer{Index: 1}).Packet()
		b.ReportAllocs()
		for b.Loop() {
			accept(b, read(b, bob, pkt), Accept{Index: 2})
		}
	})
	for _, dh := range []struct {
		name string
		flynn.DHFunc
	}{{"circl", dh25519{}}, {"x-crypto", flynn.DH25519}, {"ecdh", ecdhDH{dh25519{}}}} {
		b.Run("noise alone/"+dh.name, func(b *testing.B) { benchmarkNoise(b, dh.DHFunc) })
	}
}

func associateWith(b *testing.B, alice, bob *Local) {
	i := initiate(b, alice, bob, Offer{Index: 1})
	pkt, _ := accept(b, read(b, bob, i.Packet()), Accept{Index: 2})
	if _, err := i.ReadResponse(pkt); err != nil {
		b.Fatal(err)
	}
}

func benchmarkNoise(b *testing.B, dh flynn.DHFunc) {
	suite := flynn.NewCipherSuite(dh, flynn.CipherChaChaPoly, flynn.HashBLAKE2s)
	first, err := dh.GenerateKeypair(newRandom(1))
	if err != nil {
		b.Fatal(err)
	}
	second, err := dh.GenerateKeypair(newRandom(2))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		i, _ := flynn.NewHandshakeState(flynn.Config{CipherSuite: suite, Pattern: flynn.HandshakeIK,
			Initiator: true, StaticKeypair: first, PeerStatic: second.Public})
		r, _ := flynn.NewHandshakeState(flynn.Config{CipherSuite: suite, Pattern: flynn.HandshakeIK, StaticKeypair: second})
		m, _, _, _ := i.WriteMessage(nil, nil)
		if _, _, _, err := r.ReadMessage(nil, m); err != nil {
			b.Fatal(err)
		}
		m, _, _, _ = r.WriteMessage(nil, nil)
		if _, _, _, err := i.ReadMessage(nil, m); err != nil {
			b.Fatal(err)
		}
	}
}

// ecdhDH is the DH function over the standard library.
type ecdhDH struct{ flynn.DHFunc }

func (ecdhDH) GenerateKeypair(random io.Reader) (flynn.DHKey, error) {
	return dh25519{}.GenerateKeypair(random)
}

func (ecdhDH) DH(private, public []byte) ([]byte, error) {
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		return nil, err
	}
	remote, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return key.ECDH(remote)
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{100, 1200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			a, _ := associate(b, newLocal(b, 1), newLocal(b, 2))
			msg, dst := make([]byte, size), make([]byte, 0, size+wire.SealedOverhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Seal(dst, msg, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, size := range []int{100, 1200} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			from, to := associate(b, newLocal(b, 1), newLocal(b, 2))
			pkt, dst := seal(b, from, string(make([]byte, size)), start), make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				to.window = window{} // it is the same packet each time
				if _, err := to.Open(dst, pkt, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGate is what a flood costs: refusals with a cookie, drops for a wrong
// mac1, and copies answered from memory.
func BenchmarkGate(b *testing.B) {
	bob := newLocal(b, 2)
	exhausted := NewGate(bob.ID(), GateConfig{Budget: 1})
	exhausted.Admit(start, forgedInitiation(bob, 0), source)
	flood := forgedInitiation(bob, 1)
	repeated := NewGate(bob.ID(), GateConfig{})
	repeated.Remember(repeated.Admit(start, flood, source).Hash, flood, nil)
	for _, c := range []struct {
		name string
		gate *Gate
		pkt  []byte
		want Action
	}{
		{"cookie", exhausted, flood, Reply},
		{"wrong mac1", exhausted, flip(flood, 50), Drop},
		{"repeated", repeated, flood, Reply},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := c.gate.Admit(start, c.pkt, source); v.Action != c.want {
					b.Fatal(v.Action)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refusals/s")
		})
	}
}

// BenchmarkAssociationMemory reports the heap bytes of an association in use.
func BenchmarkAssociationMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		list := make([]*Association, n)
		for i := range list {
			list[i] = newAssociation(agreement{localIndex: uint32(i)})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/association")
		runtime.KeepAlive(list)
	}
}
