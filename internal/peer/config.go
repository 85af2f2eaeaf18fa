package peer

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/path"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// A Link carries packets: a UDP socket, a relay binding, or later a framed
// TCP connection. A *socket.Socket is one.
type Link interface {
	// Send sends one control packet.
	Send(to netip.AddrPort, b []byte) error
	// SendHopLimit is Send with a hop limit.
	SendHopLimit(to netip.AddrPort, b []byte, hopLimit uint8) error
	// SendRun sends a run of engine packets.
	SendRun(to netip.AddrPort, b []byte, segmentSize int, ecn uint8) error
	// AddRoute has engine packets from the address delivered to sink, unless
	// they are delivered elsewhere; it reports whether they are not.
	AddRoute(from netip.AddrPort, sink socket.Sink) bool
	// SetRoute is AddRoute whoever has them.
	SetRoute(from netip.AddrPort, sink socket.Sink)
	// ReplaceRoute has engine packets delivered to sink, if they are to old.
	ReplaceRoute(from netip.AddrPort, old, sink socket.Sink)
	// DeleteRoute takes that back, if the route is still to sink.
	DeleteRoute(from netip.AddrPort, sink socket.Sink)
}

// A Signaller reaches the peer by way of a server, before there is a path.
// A *snclient.Client is one.
type Signaller interface {
	// Online reports whether the server serves us, where we are now.
	Online() bool
	// WaitOnline waits until it does.
	WaitOnline(ctx context.Context) error
	// Call asks the server to tell the peer that we want to talk to it.
	Call(ctx context.Context, callee identity.ID, o snclient.CallOptions) (*snclient.CallReply, error)
	// Signal has the server forward one control packet to the peer.
	Signal(to identity.ID, packet []byte) error
}

// A Host is the stack as its peers see it. Its methods do not call back into the
// peer, and but for OpenFresh do not block. They may be called concurrently.
type Host interface {
	// Links are the links to use, with what path needs to know of them.
	Links() []path.LinkInfo
	// Candidates are the local addresses that a peer may be told.
	Candidates() []wire.Candidate
	// Signallers are the servers to call a peer through, best first. It
	// registers with refs: the SNs that the peer is known to use.
	Signallers(refs []identity.Ref) []Signaller
	// KeepAlive is the time between the probes that keep a path's mapping at our NAT.
	KeepAlive() time.Duration
	// Check finds out anew where the servers see us, unless that has just been done.
	Check()
	// OpenFresh opens a link of the family of to that nobody has sent to, and
	// learns where an SN sees it. It may block. Whoever asked closes the link.
	OpenFresh(ctx context.Context, to netip.AddrPort) (*Fresh, error)
	// OpenRelay begins to bind with the peer at a PN: one of our own, or if we have none one
	// of refs, those of the peer. It passes over the PNs in not. nil: there is none.
	OpenRelay(id identity.ID, refs []identity.Ref, not []identity.ID) *Relay
	// JoinRelay binds what the peer has named in its call; refs are where its PNs are. nil: that
	// is not to be.
	JoinRelay(id identity.ID, name wire.Relay, refs []identity.Ref) *Relay
	// RememberResponse has copies of the initiation answered with response.
	RememberResponse(p *Peer, hash noise.Hash, response []byte)
	// AnswerEarly has the question in an initiation answered, and hands the early
	// data of the response to done, on whatever goroutine, once. It reports false if
	// there will be none. What is asked is run at most once in the life of the process.
	AnswerEarly(d *identity.Device, early []byte, done func(early []byte)) bool
	// Translate returns the IPv6 address that stands for an IPv4 one; false unless
	// the network has IPv6 only, and a NAT64.
	Translate(addr netip.AddrPort) (netip.AddrPort, bool)
	// Describe asks whoever is at addr for the descriptor of id. An answer comes
	// to HandleDescription.
	Describe(id identity.ID, link Link, addr netip.AddrPort)
	// SessionStarted and SessionEnded tell of a session that is ready for
	// streams, or was. They are called in turn, on the owner goroutine.
	SessionStarted(p *Peer, d *identity.Device, s session.Session)
	SessionEnded(p *Peer, s session.Session, cause error)
}

// Config is what a peer is made of. All fields are needed.
type Config struct {
	ID       identity.ID
	Exchange func(p *Peer) *noise.Exchange
	Host     Host
	Engine   session.Engine
	Logger   *slog.Logger
	Timeout  time.Duration // of a call of Session; 0: none but its context's
}

// Hints are what was learned about a peer without its help: from a ticket, a
// directory, or the user.
type Hints struct {
	Device    *identity.Device // nil: not known
	Endpoints []netip.AddrPort // addresses that may reach it
	SNs       []identity.Ref   // super nodes that may know it

	// Search is for how long discovery on the local network may still find it:
	// until then it is not given up for want of anything else to try.
	Search time.Duration
}
