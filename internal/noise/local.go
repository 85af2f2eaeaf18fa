package noise

import (
	"crypto/rand"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cloudflare/circl/dh/x25519"
	flynn "github.com/flynn/noise"

	"github.com/bdtnet/bdt/identity"
)

// prologue begins every handshake's: label and version. The responder's id follows
// (spec §1).
const prologue = "bdt handshake\x01"

// suite is Noise's 25519_ChaChaPoly_BLAKE2s, with a DH function of our own.
var suite = flynn.NewCipherSuite(dh25519{}, flynn.CipherChaChaPoly, flynn.HashBLAKE2s)

// A Local is the local device's side of every handshake: its keys, and the
// signed device that its payloads carry. It is safe for concurrent use.
type Local struct {
	id     identity.ID
	secret *identity.Secret
	macKey macKey // of packets to us
	device atomic.Pointer[identity.Device]
	random io.Reader // of ephemeral keys
}

// NewLocal returns the side of d, whose secret and device belong together.
func NewLocal(d *identity.LocalDevice) *Local {
	l := &Local{
		id:     d.Device.ID(),
		secret: d.Secret,
		macKey: newMACKey(labelMAC1, d.Device.ID()),
		random: rand.Reader,
	}
	l.device.Store(d.Device)
	return l
}

// ID returns the local device's id.
func (l *Local) ID() identity.ID { return l.id }

// Device returns the signed device that payloads carry now.
func (l *Local) Device() *identity.Device { return l.device.Load() }

// SetDevice replaces the signed device that payloads carry. Handshakes under way
// keep the one before. It fails with identity.ErrWrongID for another device.
func (l *Local) SetDevice(d *identity.Device) error {
	if d.ID() != l.id {
		return fmt.Errorf("noise: replacing device %s by %s: %w", l.id.Short(), d.ID().Short(), identity.ErrWrongID)
	}
	l.device.Store(d)
	return nil
}

// handshake returns a fresh Noise state. remote is the responder's static key,
// nil if we are the responder.
func (l *Local) handshake(responder identity.ID, remote []byte) (*flynn.HandshakeState, error) {
	public := l.secret.NoiseKey()
	return flynn.NewHandshakeState(flynn.Config{
		CipherSuite:   suite,
		Random:        l.random,
		Pattern:       flynn.HandshakeIK,
		Initiator:     remote != nil,
		Prologue:      append([]byte(prologue), responder[:]...),
		StaticKeypair: flynn.DHKey{Private: l.secret.ECDH().Bytes(), Public: public[:]},
		PeerStatic:    remote,
	})
}

// dh25519 is X25519 (RFC 7748) for flynn/noise. circl's takes two thirds of
// crypto/ecdh's time, which also derives the public key anew from each private
// key that it is handed.
type dh25519 struct{}

func (dh25519) GenerateKeypair(random io.Reader) (flynn.DHKey, error) {
	var private, public x25519.Key
	if _, err := io.ReadFull(random, private[:]); err != nil {
		return flynn.DHKey{}, err
	}
	x25519.KeyGen(&public, &private)
	return flynn.DHKey{Private: private[:], Public: public[:]}, nil
}

// DH returns the shared secret. For a point of low order, where it would be
// known to everybody, it is random, and what follows in the handshake does not
// open: after an error flynn/noise would leave its state half mixed, and a
// forged response could spoil a handshake that the true one would still finish.
func (dh25519) DH(private, public []byte) ([]byte, error) {
	if len(private) != x25519.Size || len(public) != x25519.Size {
		return nil, fmt.Errorf("noise: keys of %d and %d bytes: %w", len(private), len(public), ErrDecrypt)
	}
	var shared x25519.Key
	if !x25519.Shared(&shared, (*x25519.Key)(private), (*x25519.Key)(public)) {
		rand.Read(shared[:])
	}
	return shared[:], nil
}

func (dh25519) DHLen() int     { return x25519.Size }
func (dh25519) DHName() string { return "25519" }
