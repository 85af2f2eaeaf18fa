// Package daemon is a running device as other processes of its user see it: one
// identity is one stack, in one process, which the others use through a Unix
// socket.
//
// A [Device] is what a command works with. [NewLocal] makes one of a stack of this
// process, [Connect] one of the process that holds an identity. [Take] makes this
// process the one that holds it, and [Serve] lets the others in.
//
// The protocol is HTTP/1.1 with JSON, whose requests carry the version in the header
// Bdt-Protocol. A stream is an upgraded connection with frames (frame.go), so that
// each direction can be closed, and fail, on its own. Both ends are of one build as
// a rule: another version is refused, and nothing is promised across versions.
package daemon
