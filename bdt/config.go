package bdt

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/underlay"
)

// Config says what a [Stack] is and whom it knows. The zero value is usable.
type Config struct {
	// Device is the identity. Nil makes a fresh one that ends with the stack.
	Device *identity.LocalDevice

	// SNs are the super nodes to register with and to call through.
	SNs []identity.Ref

	// PNs are the proxy nodes through which this device is reached, and reaches others, while
	// there is no direct way. It answers there for what is relayed when it calls. They are
	// published in its descriptor.
	PNs []identity.Ref

	// PNTokens are what PNs that admit nobody else have given this device
	// ('bdt-pn token'). Each PN is shown the one that names it, or names none.
	PNTokens [][]byte

	// Listen are the local UDP addresses. Nil means every IPv4 and every IPv6
	// address, on a free port.
	Listen []netip.AddrPort

	// Endpoints are public addresses at which the operator knows this device
	// can be reached (a port forwarding, a server's address). They are
	// published in the device's descriptor.
	Endpoints []netip.AddrPort

	// Visibility says to whom the SNs may show this device's addresses.
	// The zero value is everyone who calls it.
	Visibility Visibility

	// Owner is the object of the device's owner, as new as it is at hand. SNs are
	// asked for newer ones, at first and then about every hour; see also
	// [Stack.SetOwner]. While there is none no device passes [OwnZone] but this one:
	// zone checks fail closed.
	Owner *identity.People

	// OwnerFile is where the newest version of the owner's object is kept between
	// runs, so that an older one, which does not know of a revocation, cannot come
	// back. Empty keeps it in memory.
	OwnerFile string

	// Friends are devices, and owners with all devices of their zones, that
	// [Friends] admits.
	Friends []identity.ID

	// StampFile is where the last handshake stamp is kept between runs, so
	// that a device whose clock was set back is still heard at once. Empty keeps
	// it in memory; peers then ask once more.
	StampFile string

	// DialTimeout bounds the time in which a Dial must get a session; its context
	// may end sooner. 0 means 15 s, negative means no bound.
	DialTimeout time.Duration

	// KeepAlive is the time between the packets that keep this device's mappings at its
	// NAT, a second or more. 0 finds out how long the NAT keeps them: 25 s at first, then
	// 10 s to 2 minutes.
	KeepAlive time.Duration

	// MaxPeers bounds the remote devices held at once. 0 means 10,000.
	// A stranger beyond it takes the place of a device with which there is no
	// session, or none that was used in the last 10 minutes; if there is none
	// such, it is not answered. An eighth of the places are not for strangers, but for
	// devices of the own zone and friends. Whom this device dials always has one.
	MaxPeers int

	// NoLAN has the device neither look for others on the local network by
	// multicast nor tell where it is. What it tells otherwise is of use only to
	// those who know its id.
	NoLAN bool

	// Network is the network below. Nil is the operating system's.
	Network underlay.Network

	// Logger receives what an operator may want to know. Nil discards.
	Logger *slog.Logger
}

// Visibility says who may learn a device's addresses from an SN.
type Visibility uint8

const (
	VisibleToEveryone Visibility = iota // any device that calls
	VisibleToZone                       // devices of the same owner
	VisibleToNobody                     // the device reveals them itself, when it answers
)

const (
	defaultDialTimeout = 15 * time.Second
	defaultMaxPeers    = 10_000
)

func (c Config) withDefaults() Config {
	if c.Network == nil {
		c.Network = underlay.OS()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if len(c.Listen) == 0 {
		c.Listen = []netip.AddrPort{
			netip.AddrPortFrom(netip.IPv4Unspecified(), 0),
			netip.AddrPortFrom(netip.IPv6Unspecified(), 0),
		}
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.MaxPeers == 0 {
		c.MaxPeers = defaultMaxPeers
	}
	return c
}
