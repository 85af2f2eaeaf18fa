package session

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
)

func TestVerifyPeer(t *testing.T) {
	key, _, _ := ed25519.GenerateKey(nil)
	other, _, _ := ed25519.GenerateKey(nil)
	state := func(keys ...any) (cs tls.ConnectionState) {
		for _, k := range keys {
			cs.PeerCertificates = append(cs.PeerCertificates, &x509.Certificate{PublicKey: k})
		}
		return cs
	}
	if err := verifyPeer(state(key, other), key); err != nil {
		t.Errorf("the right key: %v", err)
	}
	for name, cs := range map[string]tls.ConnectionState{
		"no certificate": state(),
		"another key":    state(other),
		"only second":    state(other, key),
		"another kind":   state("key"),
	} {
		if err := verifyPeer(cs, key); !errors.Is(err, ErrPeerKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALPN(t *testing.T) {
	got := alpn([32]byte{})
	// "bdt/1 " and the first half of SHA-256("bdt/1 alpn" + 32 zero bytes).
	if want := "bdt/1 "; len(got) != len(want)+32 || got[:len(want)] != want {
		t.Errorf("protocol name is %q", got)
	}
	for i := range 32 {
		var b [32]byte
		if b[i] = 1; alpn(b) == got {
			t.Errorf("byte %d of the binding does not count", i)
		}
	}
}
