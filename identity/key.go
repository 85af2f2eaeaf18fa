package identity

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/mr-tron/base58"
)

// A SigningKey is an Ed25519 public key (RFC 8032).
type SigningKey [32]byte

// Verify reports whether sig is the key's signature over msg.
func (k SigningKey) Verify(msg, sig []byte) bool {
	return ed25519.Verify(k[:], msg, sig)
}

// String returns the key in base58.
func (k SigningKey) String() string { return base58.Encode(k[:]) }

// A NoiseKey is an X25519 public key (RFC 7748): the static key of the Noise
// handshake.
type NoiseKey [32]byte

// String returns the key in base58.
func (k NoiseKey) String() string { return base58.Encode(k[:]) }

// HKDF labels that separate the two key pairs of a seed (spec §5).
const (
	labelSigning = "bdt v1 signing key"
	labelNoise   = "bdt v1 noise key"
	labelLocal   = "bdt v1 local key " // and the purpose
)

// A Secret is the private half of an identity: one seed, from which both its
// Ed25519 and its X25519 key pair derive. It is immutable and safe for
// concurrent use.
//
// A Secret shows nothing when printed or logged, refuses to be marshalled, and
// cannot be compared with ==. Only this package reads the seed, for key files.
type Secret struct {
	// A func, because fmt descends into unexported fields of a struct without
	// asking for their methods, even through pointers (%s of one prints what it
	// points to). It also forbids ==.
	keys func() *secretKeys
}

type secretKeys struct {
	seed  [32]byte
	sign  ed25519.PrivateKey
	noise *ecdh.PrivateKey
}

// GenerateSecret returns a new random secret.
func GenerateSecret() *Secret {
	var seed [32]byte
	rand.Read(seed[:]) // never fails: it ends the program instead
	return SecretFromSeed(seed)
}

// SecretFromSeed returns the secret with the given seed, which must come from a
// cryptographic random source: whoever has it is this identity.
func SecretFromSeed(seed [32]byte) *Secret {
	noise, err := ecdh.X25519().NewPrivateKey(derive(seed, labelNoise))
	if err != nil {
		panic(err) // only for a length other than 32
	}
	k := &secretKeys{
		seed:  seed,
		sign:  ed25519.NewKeyFromSeed(derive(seed, labelSigning)),
		noise: noise,
	}
	return &Secret{func() *secretKeys { return k }}
}

// derive returns the 32 bytes that seed yields under label (RFC 5869, no salt).
func derive(seed [32]byte, label string) []byte {
	b, err := hkdf.Key(sha256.New, seed[:], nil, label, 32)
	if err != nil {
		panic(err) // only for a length above 255 hashes
	}
	return b
}

// SigningKey returns the Ed25519 public key.
func (s Secret) SigningKey() SigningKey {
	return SigningKey(s.keys().sign.Public().(ed25519.PublicKey))
}

// NoiseKey returns the X25519 public key.
func (s Secret) NoiseKey() NoiseKey {
	return NoiseKey(s.keys().noise.PublicKey().Bytes())
}

// Sign returns the 64-byte Ed25519 signature over msg. The caller must start
// msg with a label of its own, so that no signature serves two purposes
// (spec §6 lists the labels in use).
func (s Secret) Sign(msg []byte) []byte {
	return ed25519.Sign(s.keys().sign, msg)
}

// Signer returns the Ed25519 key for TLS certificates. TLS signs with a label
// of its own (RFC 8446 §4.4.3).
func (s Secret) Signer() crypto.Signer { return signer(s) }

// ECDH returns the X25519 private key for the Noise handshake. Unlike the
// Secret, it does not guard against being printed.
func (s Secret) ECDH() *ecdh.PrivateKey { return s.keys().noise }

// LocalKey returns 32 bytes for a purpose on the device's own machine, such as
// sealing a file: who does not have the secret can neither compute them nor find
// out anything about it by them.
func (s Secret) LocalKey(purpose string) [32]byte {
	return [32]byte(derive(s.keys().seed, labelLocal+purpose))
}

const redacted = "identity.Secret(redacted)"

// String returns a fixed text without the secret.
func (Secret) String() string { return redacted }

// GoString returns a fixed text without the secret.
func (Secret) GoString() string { return redacted }

// Format writes a fixed text without the secret, whatever the verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed text without the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails: a file with a placeholder in place of the key would
// be a lost key.
func (Secret) MarshalText() ([]byte, error) {
	return nil, errors.New("identity: a Secret cannot be marshalled, only saved to a key file")
}

// signer is a Secret as a crypto.Signer, equally opaque. An ed25519.PrivateKey
// would be one too, but prints itself.
type signer Secret

func (s signer) Public() crypto.PublicKey { return s.keys().sign.Public() }

func (s signer) Sign(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.keys().sign.Sign(rand, msg, opts)
}
