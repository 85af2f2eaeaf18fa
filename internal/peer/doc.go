// Package peer is one remote device as the local stack holds it: its
// handshake, its paths, and its session.
//
// A [Peer] has one owner goroutine. Everything that happens to it is an event
// posted to that goroutine, which feeds two pure machines, noise.Exchange (what
// keys exist) and path.Set (where packets go), and carries out what they ask
// for. Three things do not pass through the owner, since they are on the data
// plane or must not wait:
//
//   - outgoing engine packets read one immutable route through an atomic
//     pointer ([lane.WritePackets]);
//   - incoming engine packets go from the socket's reader straight to the
//     engine's port ([lane.Deliver]);
//   - sealed control packets are opened on the reader goroutine, so that the
//     source of an authenticated packet may carry engine packets before the
//     very next packet is read ([Peer.HandleControl]).
//
// The handshake is specified in docs/spec/handshake.md, the paths in
// docs/spec/path.md.
package peer
