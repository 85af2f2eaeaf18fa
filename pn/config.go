package pn

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
const DefaultPort = 8444

// Config says how to run a server.
type Config struct {
	// Network is where the sockets are opened. Default: the operating system's.
	Network underlay.Network
	// Local is the server's own identity. Required.
	Local *identity.LocalDevice
	// Listen are the addresses to bind. Default: port DefaultPort of all IPv6 and of all
	// IPv4 addresses, of which one family may be missing.
	Listen []netip.AddrPort
	// Sockets is how many sockets each address has, with a worker each, where the
	// network is an [underlay.Grouper]; at most 256. Default: GOMAXPROCS.
	Sockets int
	// Advertise is the HOST:PORT by which devices reach the server, for Ref.
	// Default: the first address bound, or the first of an interface where that
	// is unspecified.
	Advertise string
	// Admission says who may have the server relay. Required: nobody may by default.
	Admission Admission
	// Idle is how long a binding lasts without traffic: 10 s to 1 h, whole seconds. Default 300 s.
	Idle time.Duration
	// Limits bound what the server spends. Default: spec §5.
	Limits Limits
	// Metrics is told what takes time. nil: nobody.
	Metrics Metrics
	// Logger receives events of the server, none for each device. nil: discard.
	Logger *slog.Logger
}

// Limits bound what a server spends (spec §5). In each, zero is the default.
// Sizes of tables must not be negative; a negative rate is no limit.
type Limits struct {
	Sessions   int // sessions at once; default 262,144
	Pairs      int // bindings at once; default 131,072
	PerSession int // of them, those of one session; default 256
	Payers     int // payers, and zones, remembered; default 131,072
	Handshakes int // Diffie–Hellman a second without a cookie; default 2,000
	Workers    int // goroutines for public-key cryptography; default GOMAXPROCS

	// Bytes of UDP payload a second, both directions together.
	Pair      int64 // of a binding; default 64 MiB
	Payer     int64 // of all that one device pays for; default 128 MiB
	Zone      int64 // of all that the devices of a listed owner pay for; default 256 MiB
	Bandwidth int64 // in all, shared fairly between bindings; default none

	// Bytes in 24 hours from the first on; default none.
	PayerDaily int64
	ZoneDaily  int64
}

const (
	defaultIdle = 300 * time.Second
	minIdle     = 10 * time.Second
	maxIdle     = time.Hour
	maxSockets  = 256
	// maxLimit bounds sizes of tables, so that sums of them fit.
	maxLimit = 1_000_000_000
	// maxRate bounds rates, in bytes a second: products with nanoseconds fit.
	maxRate = 1 << 40
	// minRate is the least rate: a run of packets takes no more than 16 s.
	minRate = 4 << 10
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
	if c.Sockets == 0 {
		c.Sockets = min(runtime.GOMAXPROCS(0), maxSockets)
	}
	if c.Sockets < 0 || c.Sockets > maxSockets {
		return c, fmt.Errorf("%d sockets of an address are not from 1 to %d", c.Sockets, maxSockets)
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	if c.Idle < minIdle || c.Idle > maxIdle || c.Idle%time.Second != 0 {
		return c, fmt.Errorf("idle limit of %v is not from %v to %v, in whole seconds", c.Idle, minIdle, maxIdle)
	}
	if c.Advertise != "" {
		if _, err := identity.NewRef(c.Local.Device.ID(), c.Advertise); err != nil {
			return c, fmt.Errorf("advertise: %w", err)
		}
	}
	if !c.Admission.anybody() {
		return c, errors.New("nobody is admitted: say who may use the relay")
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
		{"sessions", &l.Sessions, 262_144},
		{"bindings", &l.Pairs, 131_072},
		{"bindings of a session", &l.PerSession, 256},
		{"payers", &l.Payers, 131_072},
		{"workers", &l.Workers, runtime.GOMAXPROCS(0)},
	} {
		if *size.value < 0 || *size.value > maxLimit {
			return l, fmt.Errorf("limit on %s is not from 0 to %d: %d", size.name, maxLimit, *size.value)
		}
		if *size.value == 0 {
			*size.value = size.def
		}
	}
	if l.Handshakes == 0 {
		l.Handshakes = 2000
	}
	for _, rate := range []struct {
		name  string
		value *int64
		def   int64
	}{
		{"a binding", &l.Pair, 64 << 20},
		{"a payer", &l.Payer, 128 << 20},
		{"a zone", &l.Zone, 256 << 20},
		{"all", &l.Bandwidth, -1},
	} {
		if *rate.value == 0 {
			*rate.value = rate.def
		}
		if *rate.value > 0 && (*rate.value < minRate || *rate.value > maxRate) {
			return l, fmt.Errorf("%d bytes a second of %s are not from %d to %d: a negative number is no limit", *rate.value, rate.name, minRate, int64(maxRate))
		}
	}
	for _, daily := range []*int64{&l.PayerDaily, &l.ZoneDaily} {
		if *daily == 0 {
			*daily = -1
		}
	}
	return l, nil
}
