// Package noise owns the association: the keys that two devices, or a device
// and an SN, share, how they come to share them, and how packets are sealed
// under them. It implements docs/spec/handshake.md, which comments cite as
// "spec" with a section; layouts are those of package wire.
//
//   - [Local] is this device's side of every handshake.
//   - [Initiator] and [Incoming] are one handshake, as seen from either end.
//   - [Association] seals and opens packets under the keys that came of it.
//   - [Exchange] holds the rules of repeated handshakes with one remote device:
//     glare, duplicates, stale stamps, confirmation, replacement.
//   - [Gate] admits initiations before any Diffie–Hellman is done: macs, cookies,
//     duplicates, budget. [HintLimiter] bounds hints.
//   - [Stamper] and [Marks] are the two ends of replay protection for
//     initiations. [Table] allocates receiver indices.
//
// Nothing here does I/O, starts goroutines or reads a clock: events and the time
// go in, packets and deadlines come out. Randomness is crypto/rand's.
package noise
