// Package sn is the super node: the rendezvous at which devices register, call
// each other, and find signed objects. It implements docs/spec/sn.md, which
// comments cite as "spec" with a section.
//
// A [Server] runs on the sockets of one machine. What arrives is handled on the
// reader goroutine of its socket; only what needs public-key cryptography
// (handshakes, new descriptors, published objects) goes to a pool of workers,
// through a bounded queue. One more goroutine, the keeper, repeats what was not
// acknowledged and forgets what has expired.
//
// All that the server knows about a device, with its associations, lies in one
// of 256 shards by the device's id, under the shard's lock. No lock is held
// across a send, and never are two.
package sn
