package identity

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

func TestSecretGolden(t *testing.T) {
	s := testSecret(2)
	sign, noise := s.SigningKey(), s.NoiseKey()
	if got, want := hex.EncodeToString(sign[:]), "7535a3354890808c63f2d25e84ef45290543d60f029e0ebaabe29712a5f02c30"; got != want {
		t.Errorf("signing key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(noise[:]), "34f5d3b821e02927e2dfc7980f9b86992f1b33cd9c2dd657c0fc3a46ed65f039"; got != want {
		t.Errorf("noise key %s, want %s", got, want)
	}
	if got, want := sign.String(), "8tY913MSPtXxhYFg2pmFGrC7E3ee11rBeZ1ZSAuSoGAB"; got != want {
		t.Errorf("signing key prints as %s, want %s", got, want)
	}
	if got, want := noise.String(), "4ZjcSFPt3fwMonr89osLoDS3DpBQMXzrC1LGJ9x5FiKJ"; got != want {
		t.Errorf("noise key prints as %s, want %s", got, want)
	}
}

func TestSecretKeys(t *testing.T) {
	s, other := GenerateSecret(), GenerateSecret()
	if s.SigningKey() == other.SigningKey() || s.NoiseKey() == other.NoiseKey() {
		t.Error("two generated secrets share a key")
	}

	msg := []byte("bdt test\x00message")
	sig := s.Sign(msg)
	if !s.SigningKey().Verify(msg, sig) {
		t.Error("own signature does not verify")
	}
	if s.SigningKey().Verify(msg[1:], sig) || s.SigningKey().Verify(msg, sig[1:]) || other.SigningKey().Verify(msg, sig) {
		t.Error("a signature verifies that should not")
	}

	noise := other.NoiseKey()
	pub, err := ecdh.X25519().NewPublicKey(noise[:])
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.ECDH().ECDH(pub)
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.ECDH().ECDH(s.ECDH().PublicKey())
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("shared secrets differ, error %v", err)
	}
}

// A certificate made with Signer carries the signing key.
func TestSecretSigner(t *testing.T) {
	s := testSecret(2)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.Signer().Public(), s.Signer())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if key := s.SigningKey(); !ed25519.PublicKey(key[:]).Equal(cert.PublicKey) {
		t.Errorf("certificate has key %x", cert.PublicKey)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
}

// Nothing that prints, logs or marshals a secret, or what contains one, shows
// any form of its seed or private keys.
func TestSecretRedacted(t *testing.T) {
	s := testSecret(0xa7)
	type exported struct {
		P *Secret
		V Secret
		S any
	}
	type hidden struct {
		p *Secret
		v Secret
		s any
	}
	values := []any{s, *s, s.Signer(), []*Secret{s}, map[string]Secret{"k": *s},
		exported{s, *s, s.Signer()}, &exported{s, *s, s.Signer()},
		hidden{s, *s, s.Signer()}, &hidden{s, *s, s.Signer()}, LocalDevice{Secret: s}}

	var out strings.Builder
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	fmt.Fprintln(&out, s.String(), s.GoString(), s.LogValue())

	text := strings.ToLower(out.String())
	for name, secret := range map[string][]byte{
		"seed": s.keys().seed[:4], "Ed25519 key": s.keys().sign[:4], "X25519 key": s.keys().noise.Bytes()[:4],
	} {
		dec := strings.Trim(fmt.Sprint(secret), "[]")
		for _, form := range []string{
			hex.EncodeToString(secret), dec, strings.ReplaceAll(dec, " ", ", "), strings.ReplaceAll(dec, " ", ","),
			strings.ToLower(fmt.Sprintf("%#v", secret)[7:]), string(secret),
		} {
			if strings.Contains(text, strings.Trim(form, "{}")) {
				t.Errorf("%s shows as %q", name, form)
			}
		}
	}
	if !strings.Contains(text, strings.ToLower(redacted)) {
		t.Error("a redacted secret does not say so")
	}
}

func TestSecretUnmarshallable(t *testing.T) {
	s := testSecret(1)
	if b, err := json.Marshal(s); err == nil {
		t.Errorf("marshalled to %s", b)
	}
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("secrets can be compared with ==, in variable time")
	}
}
