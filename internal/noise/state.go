package noise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/bdtnet/bdt/identity"
)

// ErrState: what was to be restored is not what AppendState wrote.
var ErrState = errors.New("not a kept association")

// stateVersion is the first byte of a kept association; stateLen its length:
// version, flags, remote id, binding, session, 2 indices, 2 epochs, 2 keys,
// 2 counters.
const (
	stateVersion = 1
	stateLen     = 1 + 1 + 32 + 32 + 8 + 2*4 + 2*2 + 2*32 + 2*8
)

// The flags.
const (
	stateInitiator = 1 << iota
	stateClient
	stateGoesOn
	stateOpened
)

// AppendState appends what it takes to go on with the association in another
// process (spec §11): keys included, so it is to be sealed. The key of the epoch
// before is left out, and so is which of the last counters were seen.
func (a *Association) AppendState(b []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	b = append(b, stateVersion,
		bit(a.initiator, stateInitiator)|bit(a.client, stateClient)|bit(a.goesOn, stateGoesOn)|bit(a.opened, stateOpened))
	b = append(b, a.remote[:]...)
	b = append(b, a.binding[:]...)
	b = binary.BigEndian.AppendUint64(b, a.session)
	b = binary.BigEndian.AppendUint32(b, a.localIndex)
	b = binary.BigEndian.AppendUint32(b, a.remoteIndex)
	b = binary.BigEndian.AppendUint16(b, a.sendEpoch)
	b = binary.BigEndian.AppendUint16(b, a.receiveEpoch)
	b = append(b, a.sendKey[:]...)
	b = append(b, a.receiveKey[:]...)
	b = binary.BigEndian.AppendUint64(b, a.counter)
	return binary.BigEndian.AppendUint64(b, a.window.next)
}

func bit(set bool, mask byte) byte {
	if set {
		return mask
	}
	return 0
}

// RestoreAssociation returns the association that AppendState described. It must
// not seal before Advance has taken its counter beyond all that were used since
// then. What it opens may be a replay of a packet that came in since then: who
// acts on it must first have seen proof that it is not (spec §11). The error
// wraps ErrState.
func RestoreAssociation(b []byte) (*Association, error) {
	if len(b) != stateLen || b[0] != stateVersion {
		return nil, fmt.Errorf("noise: restore: %w", ErrState)
	}
	flags := b[1]
	take := func(n int) []byte {
		p := b[:n]
		b = b[n:]
		return p
	}
	take(2)
	a := &Association{
		initiator:    flags&stateInitiator != 0,
		client:       flags&stateClient != 0,
		goesOn:       flags&stateGoesOn != 0,
		opened:       flags&stateOpened != 0,
		remote:       identity.ID(take(32)),
		binding:      [32]byte(take(32)),
		session:      binary.BigEndian.Uint64(take(8)),
		localIndex:   binary.BigEndian.Uint32(take(4)),
		remoteIndex:  binary.BigEndian.Uint32(take(4)),
		sendEpoch:    binary.BigEndian.Uint16(take(2)),
		receiveEpoch: binary.BigEndian.Uint16(take(2)),
		sendKey:      [32]byte(take(32)),
		receiveKey:   [32]byte(take(32)),
	}
	counter, next := binary.BigEndian.Uint64(take(8)), binary.BigEndian.Uint64(take(8))
	if a.session == 0 || a.localIndex == 0 || a.remoteIndex == 0 {
		return nil, fmt.Errorf("noise: restore: %w", ErrState)
	}
	if err := a.Advance(counter, next); err != nil {
		return nil, err
	}
	a.leaveCounter = a.counter + epochPackets
	a.leaveWindow = a.window.next + epochPackets
	return a, nil
}

// Advance makes the next packet sealed have at least the given counter, and takes
// those below next for seen. Neither is ever lowered. The error wraps ErrState:
// so far no counter goes. How far next goes is up to the remote device, which may
// count from where it likes: what a packet has brought about is no error.
func (a *Association) Advance(counter, next uint64) error {
	if counter > math.MaxInt64 || next > counterLimit {
		return fmt.Errorf("noise: advance to %d, %d: %w", counter, next, ErrState)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counter = max(a.counter, counter)
	a.window.skip(next)
	return nil
}

// Counters returns the counter of the next packet to seal, and one above the
// highest that was opened.
func (a *Association) Counters() (counter, next uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counter, a.window.next
}

// Epoch returns the epoch that packets are received in.
func (a *Association) Epoch() uint16 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.receiveEpoch
}
