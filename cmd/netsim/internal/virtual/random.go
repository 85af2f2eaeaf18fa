package virtual

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"testing/cryptotest"
)

// Seed has crypto/rand, and in a test all else in crypto, draw from a seed until restore
// is called: keys, and with them ids, are the same each time. It is for one bubble at
// a time: what two draw from one source is in no order. In a program, what package crypto
// draws without being given a source stays random (crypto/ecdh, and with it the keys
// of TLS).
//
// In a test restore does nothing: the end of the test does.
func Seed(ctx context.Context, seed uint64) (restore func()) {
	t := owner(ctx)
	if testing.Testing() {
		cryptotest.SetGlobalRandom(t, seed)
		return func() {}
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	before := rand.Reader
	rand.Reader = &lockedReader{from: mathrand.NewChaCha8(key)}
	return func() { rand.Reader = before }
}

// A lockedReader may be read concurrently.
type lockedReader struct {
	mu   sync.Mutex
	from *mathrand.ChaCha8
}

// Read implements io.Reader.
func (r *lockedReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from.Read(b)
}
