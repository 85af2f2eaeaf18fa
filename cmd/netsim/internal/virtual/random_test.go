package virtual_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

func TestSeed(t *testing.T) {
	draw := func(seed uint64) []byte {
		defer virtual.Seed(virtual.Context(t), seed)()
		b := make([]byte, 16)
		rand.Read(b)
		return b
	}
	if a, b, c := draw(1), draw(1), draw(2); !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Errorf("drew %x, %x, %x", a, b, c)
	}
}
