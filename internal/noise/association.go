package noise

import (
	"crypto/cipher"
	"crypto/hkdf"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// How keys ratchet (spec §9).
const (
	epochPackets = 1 << 20          // packets of either direction before the initiator moves on
	epochTime    = 10 * time.Minute // and time since it first sealed in an epoch
	epochGrace   = 30 * time.Second // for which the key before still opens
	lastEpoch    = math.MaxUint16   // is not left any more

	labelRatchet = "bdt ratchet"

	// counterLimit leaves the window's arithmetic room below 2^64.
	counterLimit = math.MaxUint64 - windowSize
)

// An agreement is what a handshake came to.
type agreement struct {
	remote                  identity.ID
	binding                 [32]byte
	initiator, client       bool
	rekeys                  uint64 // the session that goes on; 0: a new one
	localIndex, remoteIndex uint32
	send, receive           [32]byte
}

// An Association is the keys shared with one remote device, and what it takes to
// use each nonce once and to open each packet once (spec §9). It is safe for
// concurrent use.
type Association struct {
	remote                  identity.ID
	binding                 [32]byte
	session                 uint64
	localIndex, remoteIndex uint32
	initiator               bool // moves epochs on; the responder follows
	client                  bool
	goesOn                  bool

	mu                        sync.Mutex
	opened                    bool // a packet has been opened
	sendEpoch, receiveEpoch   uint16
	sendKey, receiveKey       [32]byte
	counter                   uint64 // of the next packet to seal
	leaveCounter, leaveWindow uint64 // counter and window.next at which the epoch is left
	leaveTime                 int64  // when it is, Unix nanoseconds; 0: nothing was sealed in it yet
	before                    *formerKey
	window                    window
}

// A formerKey opens packets of the epoch before, for a while.
type formerKey struct {
	key   [32]byte
	until time.Time
}

func newAssociation(g agreement) *Association {
	a := &Association{
		remote:       g.remote,
		binding:      g.binding,
		session:      g.rekeys,
		goesOn:       g.rekeys != 0,
		localIndex:   g.localIndex,
		remoteIndex:  g.remoteIndex,
		initiator:    g.initiator,
		client:       g.client,
		sendKey:      g.send,
		receiveKey:   g.receive,
		leaveCounter: epochPackets,
		leaveWindow:  epochPackets,
	}
	if a.session == 0 {
		a.session = max(1, binary.BigEndian.Uint64(g.binding[:])) // 0 names no session
	}
	return a
}

// Remote returns the id of the device at the other end.
func (a *Association) Remote() identity.ID { return a.remote }

// Binding returns the handshake hash: both ends have the same, and nobody can
// bring about one that another handshake had (Noise §11.2).
func (a *Association) Binding() [32]byte { return a.binding }

// SessionID returns the session that the association serves: the one it rekeyed
// if that goes on, else one named by the binding (spec §1). It is never 0.
func (a *Association) SessionID() uint64 { return a.session }

// GoesOn reports whether the session is one that an earlier association began.
func (a *Association) GoesOn() bool { return a.goesOn }

// LocalIndex returns the receiver index of packets to us.
func (a *Association) LocalIndex() uint32 { return a.localIndex }

// RemoteIndex returns the receiver index of packets that we seal.
func (a *Association) RemoteIndex() uint32 { return a.remoteIndex }

// Initiator reports whether we sent the initiation.
func (a *Association) Initiator() bool { return a.initiator }

// Client reports whether we are the client of the session engine (spec §6).
func (a *Association) Client() bool { return a.client }

// Confirmed reports whether the remote device is known to hold the keys: always
// at the initiator, and at the responder once a packet has been opened (spec §7).
func (a *Association) Confirmed() bool { return a.initiator || a.Heard() }

// Heard reports whether a packet has been opened.
func (a *Association) Heard() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.opened
}

// Format writes whose association it is, and no keys, whatever the verb.
func (a *Association) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "association %d with %s", a.localIndex, a.remote.Short())
}

var _ fmt.Formatter = (*Association)(nil)

// Seal appends the Sealed packet that carries msg to dst, header included:
// wire.SealedOverhead bytes more than msg, which must not overlap dst's free
// room. It fails with ErrExhausted only, after 2^64 packets.
func (a *Association) Seal(dst, msg []byte, now time.Time) ([]byte, error) {
	a.mu.Lock()
	if a.counter >= counterLimit {
		a.mu.Unlock()
		return nil, fmt.Errorf("noise: seal to %s: %w", a.remote.Short(), ErrExhausted)
	}
	a.leaveEpochLocked(now)
	h := wire.SealedHeader{Epoch: a.sendEpoch, Receiver: a.remoteIndex, Counter: a.counter}
	a.counter++
	key := a.sendKey
	a.mu.Unlock()

	start := len(dst)
	dst = h.Append(dst)
	nonce := sealedNonce(h.Counter)
	return newAEAD(&key).Seal(dst, nonce[:], msg, dst[start:]), nil
}

// Open opens a Sealed packet and appends its message to dst, which may be
// pkt[wire.SealedHeaderLen:wire.SealedHeaderLen] to open in place. An error
// means that the packet is to be dropped, and leaves the association as it was.
func (a *Association) Open(dst, pkt []byte, now time.Time) ([]byte, error) {
	h, err := wire.ParseSealedHeader(pkt)
	if err != nil {
		return nil, err
	}
	if h.Receiver != a.localIndex {
		return nil, ErrIndex
	}
	key, err := a.openingKey(h, now)
	if err != nil {
		return nil, err
	}
	nonce := sealedNonce(h.Counter)
	msg, err := newAEAD(&key).Open(dst, nonce[:], pkt[wire.SealedHeaderLen:], pkt[:wire.SealedHeaderLen])
	if err != nil {
		return nil, ErrDecrypt
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.window.fresh(h.Counter) { // a copy of the packet was opened meanwhile
		return nil, ErrReplay
	}
	a.window.see(h.Counter)
	a.opened = true
	if h.Epoch == a.receiveEpoch+1 && h.Epoch != 0 {
		a.followEpochLocked(key, now)
	}
	return msg, nil
}

// openingKey returns the key that a packet with header h must open under.
func (a *Association) openingKey(h wire.SealedHeader, now time.Time) (key [32]byte, err error) {
	a.mu.Lock()
	if a.before != nil && !now.Before(a.before.until) {
		a.before = nil
	}
	ahead := false
	switch {
	case h.Counter >= counterLimit || !a.window.fresh(h.Counter):
		err = ErrReplay
	case h.Epoch == a.receiveEpoch:
		key = a.receiveKey
	case a.before != nil && h.Epoch+1 == a.receiveEpoch:
		key = a.before.key
	case a.mayFollowLocked(h.Epoch):
		key, ahead = a.receiveKey, true
	default:
		err = ErrEpoch
	}
	a.mu.Unlock()
	if ahead {
		key = ratchet(key)
	}
	return key, err
}

// leaveEpochLocked moves the initiator on when an epoch has served long enough,
// provided that the responder has followed into it: else the responder, that
// looks one epoch ahead, could be left behind for good.
func (a *Association) leaveEpochLocked(now time.Time) {
	if !a.initiator {
		return
	}
	if a.leaveTime == 0 {
		a.leaveTime = now.Add(epochTime).UnixNano()
	}
	due := a.counter >= a.leaveCounter || a.window.next >= a.leaveWindow || now.UnixNano() >= a.leaveTime
	if !due || a.receiveEpoch != a.sendEpoch || a.sendEpoch == lastEpoch {
		return
	}
	a.sendKey = ratchet(a.sendKey)
	a.sendEpoch++
	a.leaveCounter = a.counter + epochPackets
	a.leaveWindow = a.window.next + epochPackets
	a.leaveTime = now.Add(epochTime).UnixNano()
}

// mayFollowLocked reports whether epoch is the next to receive in: at the
// initiator only one that it has moved to itself.
func (a *Association) mayFollowLocked(epoch uint16) bool {
	return a.receiveEpoch != lastEpoch && epoch == a.receiveEpoch+1 &&
		(!a.initiator || epoch <= a.sendEpoch)
}

// followEpochLocked moves on to the next epoch, of which a packet has opened
// under key. The responder seals in it from now on.
func (a *Association) followEpochLocked(key [32]byte, now time.Time) {
	a.before = &formerKey{a.receiveKey, now.Add(epochGrace)}
	a.receiveKey = key
	a.receiveEpoch++
	if !a.initiator {
		a.sendKey = ratchet(a.sendKey)
		a.sendEpoch++
	}
}

// ratchet returns the key of the next epoch (spec §9). The one before does not
// follow from it.
func ratchet(key [32]byte) [32]byte {
	next, err := hkdf.Key(newHash, key[:], nil, labelRatchet, len(key))
	if err != nil {
		panic(err) // only for more than 255 hashes of output
	}
	return [32]byte(next)
}

// sealedNonce is 4 zero bytes and the counter, little-endian as in Noise §12.3.
func sealedNonce(counter uint64) (n [chacha20poly1305.NonceSize]byte) {
	binary.LittleEndian.PutUint64(n[4:], counter)
	return n
}

func newAEAD(key *[32]byte) cipher.AEAD {
	c, err := chacha20poly1305.New(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return c
}
