// Package pn is the proxy node: a relay between devices that cannot reach each other. It
// forwards their packets without being able to read them, and knows who answers for
// the traffic. It implements docs/spec/relay.md, which comments cite as "spec" with a
// section.
//
// A [Server] runs on the sockets of one machine. A worker, one for each socket, reads
// what arrives in batches, forwards what is relayed out of the buffers into which it was
// read, and handles control packets; only what needs public-key cryptography goes to
// a pool of goroutines, through a bounded queue. Where bytes a second are limited
// in all, what exceeds them waits in the shaper, a fair queue with a goroutine of its
// own. One more goroutine, the keeper, forgets what has expired.
//
// The two things that a packet needs to be forwarded, its binding (pair) and the places of
// the ends (session.where), are read without waiting for any writer but a map's. No lock is
// held across a send.
package pn
