package noise

import (
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bdtnet/bdt/identity"
)

// TestDH holds the DH function against the iterated vector of RFC 7748 §5.2, and
// public keys against those of the standard library.
func TestDH(t *testing.T) {
	k := append([]byte{9}, make([]byte, 31)...)
	u := k
	for n := 1; n <= 1000; n++ {
		r, err := dh25519{}.DH(k, u)
		if err != nil {
			t.Fatal(err)
		}
		k, u = r, k
		if n == 1 && hex.EncodeToString(k) != "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079" {
			t.Fatalf("after 1 iteration: %x", k)
		}
	}
	if hex.EncodeToString(k) != "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51" {
		t.Errorf("after 1,000 iterations: %x", k)
	}

	pair, err := dh25519{}.GenerateKeypair(newRandom(1))
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdh.X25519().NewPrivateKey(pair.Private)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(private.PublicKey().Bytes(), pair.Public) {
		t.Errorf("public key %x, want %x", pair.Public, private.PublicKey().Bytes())
	}
}

// TestDHLowOrder: what everybody could compute is not used.
func TestDHLowOrder(t *testing.T) {
	private := bytes.Repeat([]byte{7}, 32)
	point := make([]byte, 32) // of order 2
	first, err := dh25519{}.DH(private, point)
	if err != nil {
		t.Fatal(err)
	}
	second, err := dh25519{}.DH(private, point)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first, make([]byte, 32)) || bytes.Equal(first, second) {
		t.Errorf("shared secret with a point of low order can be foreseen: %x, %x", first, second)
	}
}

func TestDHLength(t *testing.T) {
	if _, err := (dh25519{}).DH(make([]byte, 31), make([]byte, 32)); err == nil {
		t.Error("short private key accepted")
	}
	if _, err := (dh25519{}).DH(make([]byte, 32), make([]byte, 33)); err == nil {
		t.Error("long public key accepted")
	}
	if _, err := (dh25519{}).GenerateKeypair(strings.NewReader("short")); err == nil {
		t.Error("key made of too little randomness")
	}
}

func TestSetDevice(t *testing.T) {
	own := newIdentity(t, 1)
	l := NewLocal(own)
	newer, err := own.Device.Update(own.Secret, identity.DeviceBody{Name: "renamed", Updated: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetDevice(newer); err != nil {
		t.Fatal(err)
	}
	if l.Device() != newer {
		t.Error("device not replaced")
	}
	if err := l.SetDevice(newIdentity(t, 2).Device); !errors.Is(err, identity.ErrWrongID) {
		t.Errorf("device of another id: %v", err)
	}
	if l.Device() != newer || l.ID() != newer.ID() {
		t.Error("a refused device took effect")
	}
}

// TestLocalHidesKeys: no verb prints the private key.
func TestLocalHidesKeys(t *testing.T) {
	l := newLocal(t, 1)
	private := l.secret.ECDH().Bytes()
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
		text := fmt.Sprintf(verb, l)
		if strings.Contains(text, hex.EncodeToString(private)) || strings.Contains(text, fmt.Sprint(private)) {
			t.Errorf("%s prints the private key", verb)
		}
	}
}
