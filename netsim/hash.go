package netsim

import (
	"fmt"
	"math/bits"
	"time"
)

// Hash returns a hash of all that has happened: of every event its time, fate and
// packet's protocol and size, and which way it moved on which link. The order of what
// happens at one instant does not matter, nor do addresses, ports and contents, which
// hold what stacks draw at random. Two runs of one script in virtual time have the
// same hash as far as docs/netsim/determinism.md says.
func (n *Network) Hash() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprintf("%016x", n.hash)
}

// addHash counts one event in.
func (n *Network) addHash(at time.Duration, f Fate, on *pipe, p *packet) {
	h := mum(uint64(at)^0xa0761d6478bd642f, on.id^0xe7037ed1a0b428db)
	h = mum(h^0x8ebc6af09c88c6e3, uint64(p.size)<<16|uint64(f)<<8|uint64(p.Proto)^0x589965cc75374cc3)
	n.hash += h // a sum does not depend on the order
}

// mum multiplies and folds, as wyhash does (Wang Yi 2019).
func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
