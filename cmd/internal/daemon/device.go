package daemon

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// A Device is a device that runs, in this process or in another. Its methods may be
// called concurrently. Errors have the same causes either way: those of package bdt,
// those of package context, and the ones here.
type Device interface {
	// ID returns the device's id.
	ID() identity.ID
	// Learn remembers what a ticket says about reaching a device or an owner.
	Learn(context.Context, identity.Ticket) error
	// Dial opens a stream to a service.
	Dial(ctx context.Context, id identity.ID, service string) (Stream, error)
	// Ping returns how long 8 bytes take to a device's echo service and back.
	Ping(context.Context, identity.ID) (time.Duration, error)
	// Listen serves a service to those whom who, read by bdt.ParseAccess, admits.
	Listen(ctx context.Context, service, who string) (Listener, error)
	// Status tells how the device is.
	Status(context.Context) (*Status, error)
	// Peers returns the devices that it has to do with.
	Peers(context.Context) ([]Peer, error)
	// Explain tells how a device is reached, and why so. It fails with
	// [ErrUnknown] if this device has nothing to do with it.
	Explain(context.Context, identity.ID) (*Explanation, error)
	// NetCheck examines the network between the device and its super nodes.
	NetCheck(context.Context) (*bdt.NetReport, error)
	// Close lets go of the device. If it is of this process, it stops.
	Close() error
}

// A Stream is a stream to another device, as *bdt.Conn describes it. Its addresses
// are of type bdt.Addr.
type Stream interface {
	net.Conn
	CloseWrite() error
	Reset(code uint32)
	// Rights are what the caller was granted, at the end that accepted.
	Rights() bdt.Rights
}

// A Listener accepts the streams of one service.
type Listener interface {
	// Accept returns the next stream. It fails with bdt.ErrClosed once the
	// listener, or the device, is closed.
	Accept(context.Context) (Stream, error)
	Close() error
}

// A Status is how a device is. Times that are not known are absent.
type Status struct {
	ID        identity.ID      `json:"id"`
	Name      string           `json:"name,omitempty"`
	Owner     *identity.ID     `json:"owner,omitempty"`
	PID       int              `json:"pid"`
	Command   string           `json:"command"` // "bdt up"
	Version   string           `json:"version"`
	Started   time.Time        `json:"started"`
	Online    bool             `json:"online"` // an SN of its own serves it
	Ticket    string           `json:"ticket"`
	SNs       []SN             `json:"sns"`
	PNs       []PN             `json:"pns"`
	Sockets   []netip.AddrPort `json:"sockets"`
	Endpoints []netip.AddrPort `json:"endpoints"` // set by the operator
	Services  []Service        `json:"services"`
	Peers     int              `json:"peers"`     // that it has to do with
	Connected int              `json:"connected"` // of these
	BytesSent uint64           `json:"bytes_sent"`
	BytesRecv uint64           `json:"bytes_recv"` // of the sessions there are now
}

// An SN is a super node as a device sees it.
type SN struct {
	Ref      string          `json:"ref"`
	State    string          `json:"state"` // "offline", "online", "superseded", "closed"
	Observed *netip.AddrPort `json:"observed,omitempty"`
	RTT      *float64        `json:"rtt_ms,omitempty"`
}

// A PN is a proxy node as the device sees it.
type PN struct {
	SN
	Relays int `json:"relays"` // bindings there
}

// A Service is what a device serves.
type Service struct {
	Name    string `json:"name"`
	What    string `json:"what"`    // for people: "127.0.0.1:8000", "files of /srv"
	Allow   string `json:"allow"`   // as bdt.ParseAccess reads it
	Streams uint64 `json:"streams"` // that were admitted
}

// A Path is one way to a peer.
type Path struct {
	Kind     string          `json:"kind"`
	State    string          `json:"state"`
	Local    *netip.AddrPort `json:"local,omitempty"`
	Remote   *netip.AddrPort `json:"remote,omitempty"`
	Observed *netip.AddrPort `json:"observed,omitempty"` // this device as the peer sees it
	RTT      *float64        `json:"rtt_ms,omitempty"`
	Current  bool            `json:"current,omitempty"`
	Standby  bool            `json:"standby,omitempty"`
}

// A Peer is a remote device as a device sees it.
type Peer struct {
	ID        identity.ID `json:"id"`
	Name      string      `json:"name,omitempty"` // as it calls itself
	State     string      `json:"state"`
	Engine    string      `json:"engine,omitempty"`
	Path      *Path       `json:"path,omitempty"` // that data uses
	RTT       *float64    `json:"session_rtt_ms,omitempty"`
	BytesSent uint64      `json:"bytes_sent"`
	BytesRecv uint64      `json:"bytes_recv"`
}

// An Explanation says how a peer is reached, and why so.
type Explanation struct {
	Peer  Peer    `json:"peer"`
	Paths []Path  `json:"paths"`
	Lines []Event `json:"events"`
}

// An Event is one line of an Explanation.
type Event struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// viewPeer is a peer in the form that travels.
func viewPeer(p bdt.PeerStatus) Peer {
	v := Peer{
		ID: p.ID, Name: p.Name, State: p.State, Engine: p.Engine,
		RTT: milliseconds(p.SessionRTT), BytesSent: p.BytesSent, BytesRecv: p.BytesRecv,
	}
	if p.Path.Kind != "" {
		path := viewPath(p.Path)
		v.Path = &path
	}
	return v
}

func viewPath(p bdt.PathStatus) Path {
	return Path{
		Kind: p.Kind, State: p.State, Local: known(p.Local), Remote: known(p.Remote), Observed: known(p.Observed),
		RTT: milliseconds(p.RTT), Current: p.Current, Standby: p.Standby,
	}
}

// known is an address, or nothing for none.
func known(a netip.AddrPort) *netip.AddrPort {
	if !a.IsValid() {
		return nil
	}
	return &a
}

// milliseconds is a duration, or nothing for one that is not known.
func milliseconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	ms := float64(d.Microseconds()) / 1000
	return &ms
}
