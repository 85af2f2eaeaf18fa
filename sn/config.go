package sn

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/underlay"
)

// DefaultPort is the UDP port that a server listens on unless told otherwise.
const DefaultPort = 8443

// Config says how to run a server.
type Config struct {
	// Network is where the sockets are opened. Default: the operating system's.
	Network underlay.Network
	// Local is the server's own identity. Required.
	Local *identity.LocalDevice
	// Listen are the addresses to bind, one socket each. Two addresses of one
	// family, each named here with the same port, let devices name the kind of their NAT
	// (spec §6). Default: port DefaultPort of all IPv6 and of all IPv4
	// addresses, of which one family may be missing.
	Listen []netip.AddrPort
	// STUNPort is the second port of each address in Listen, for STUN. 0 means
	// the next one, if it can be had; a negative one means none. Where Listen has
	// several ports of an address they are that.
	STUNPort int
	// Advertise is the HOST:PORT by which devices reach the server, for Ref.
	// Default: the first address bound, or the first of an interface where that
	// is unspecified.
	Advertise string
	// PingInterval is how often devices are told to ping. Default 25 s, at most
	// 120 s: a device is forgotten after 300 s of silence.
	PingInterval time.Duration
	// Limits bound what the server spends. Default: spec §5.
	Limits Limits
	// State is the file in which devices and directory outlive the server: after a
	// restart, or a crash, they are served as before (spec §7). It is sealed by the
	// server's key, and made if there is none. Empty: nothing is kept.
	State string
	// Metrics is told what takes time. nil: nobody.
	Metrics Metrics
	// Logger receives events of the server, none for each device. nil: discard.
	Logger *slog.Logger
}

// Limits bound what a server spends (spec §5). In each, zero is the default.
// Sizes of tables must not be negative; a negative rate is no limit.
type Limits struct {
	Devices    int // devices registered at once; default 1,000,000
	PerNetwork int // of them, those of one /24 or /56; default 65,536
	Handshakes int // Diffie–Hellman a second without a cookie; default 2,000
	Pending    int // handshakes done in the last 10 s; default 65,536
	Objects    int // places in the directory beside registered devices' own, one for each 1,100 bytes of an object; default 100,000
	Calls      int // calls remembered for repeats, 10 s each; default 65,536
	Pairs      int // pairs that may signal, 60 s after a call each; default 1,048,576
	Workers    int // goroutines for public-key cryptography; default GOMAXPROCS

	Call      Rate // calls of a caller; default 20 a second, burst 50
	Prefix    Rate // calls of a caller's /24 or /56 to one callee; default 10, burst 20
	Callee    Rate // calls to one callee, and as many again of its zone and of those it calls; default 50, burst 100
	Network   Rate // calls of a caller's /24 or /56 to all; default 1,000, burst 2,000
	Signal    Rate // signals of a device; default 50, burst 100
	Directory Rate // registers, lookups and publishes of a device; default 20, burst 50
	Lookups   Rate // the same of a /24 or /56; default 2,000, burst 4,000
}

// A Rate is the shape of a token bucket.
type Rate struct {
	PerSecond int // tokens gained each second; negative: no limit
	Burst     int // tokens that a full bucket holds; default twice PerSecond
}

const (
	defaultPing = 25 * time.Second
	maxPing     = 120 * time.Second
	// maxLimit bounds sizes and rates, so that sums and durations of them fit: a
	// burst of so many at one a second lasts 32 years.
	maxLimit = 1_000_000_000
)

// withDefaults returns the configuration with nothing left out.
func (c Config) withDefaults() (Config, error) {
	if c.Local == nil || c.Local.Secret == nil || c.Local.Device == nil {
		return c, errors.New("no local device")
	}
	if c.Network == nil {
		c.Network = underlay.OS()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if c.PingInterval == 0 {
		c.PingInterval = defaultPing
	}
	if c.PingInterval < time.Second || c.PingInterval > maxPing {
		return c, fmt.Errorf("ping interval of %v is not from 1s to %v", c.PingInterval, maxPing)
	}
	if c.STUNPort > 0xffff {
		return c, fmt.Errorf("STUN port %d is not up to 65535", c.STUNPort)
	}
	if c.Advertise != "" {
		if _, err := identity.NewRef(c.Local.Device.ID(), c.Advertise); err != nil {
			return c, fmt.Errorf("advertise: %w", err)
		}
	}
	var err error
	c.Limits, err = c.Limits.withDefaults()
	return c, err
}

func (l Limits) withDefaults() (Limits, error) {
	for _, size := range []struct {
		name  string
		value *int
		def   int
	}{
		{"devices", &l.Devices, 1_000_000},
		{"devices of a network", &l.PerNetwork, 65_536},
		{"pending handshakes", &l.Pending, 65_536},
		{"objects", &l.Objects, 100_000},
		{"calls", &l.Calls, 65_536},
		{"pairs", &l.Pairs, 1_048_576},
		{"workers", &l.Workers, runtime.GOMAXPROCS(0)},
	} {
		if *size.value < 0 {
			return l, fmt.Errorf("limit on %s is negative: %d", size.name, *size.value)
		}
		if *size.value > maxLimit {
			return l, fmt.Errorf("limit on %s is above %d: %d", size.name, maxLimit, *size.value)
		}
		if *size.value == 0 {
			*size.value = size.def
		}
	}
	if l.Handshakes == 0 {
		l.Handshakes = 2000
	}
	for _, rate := range []struct {
		value *Rate
		def   Rate
	}{
		{&l.Call, Rate{20, 50}},
		{&l.Prefix, Rate{10, 20}},
		{&l.Callee, Rate{50, 100}},
		{&l.Network, Rate{1000, 2000}},
		{&l.Signal, Rate{50, 100}},
		{&l.Directory, Rate{20, 50}},
		{&l.Lookups, Rate{2000, 4000}},
	} {
		if *rate.value == (Rate{}) {
			*rate.value = rate.def
		}
		if rate.value.PerSecond == 0 {
			return l, errors.New("a rate has a burst but no tokens a second")
		}
		if rate.value.PerSecond > maxLimit || rate.value.Burst > maxLimit {
			return l, fmt.Errorf("a rate of %d a second, burst %d, is above %d: a negative one is no limit", rate.value.PerSecond, rate.value.Burst, maxLimit)
		}
		if rate.value.Burst <= 0 {
			rate.value.Burst = 2 * rate.value.PerSecond
		}
	}
	return l, nil
}
