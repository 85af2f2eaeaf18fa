package snload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

const (
	// defaultSockets is how many sockets the devices share: enough that no receive
	// buffer overflows in a burst of answers.
	defaultSockets = 16
	defaultAtOnce  = 64
	// inbox is how many packets wait for a device. None is called that often.
	inbox = 16
	// onlineTimeout is how long a device may take to come online before it counts
	// as failed. It goes on trying.
	onlineTimeout = 30 * time.Second
)

// Config says which SN to load, with what, and from where.
type Config struct {
	Ref     identity.Ref     // required
	Devices int              // required
	Network underlay.Network // nil: the operating system's
	// Local are the addresses of the sockets that the devices share. nil: 16 of any
	// address and port, of the family of Ref if that is an address, else of IPv4.
	Local  []netip.AddrPort
	AtOnce int          // devices that come online at once; 0: 64
	Logger *slog.Logger // of the sockets; nil: discard
}

// A Load is some devices. Its phases (Prepare, Register, Rest, Ping, Call,
// Reach) are called one after the other; Online and Close at any time.
type Load struct {
	cfg     Config
	stamper *noise.Stamper
	table   *noise.Table[*device]
	demux   demux
	sockets []*socket.Socket
	devices []*device

	ctx    context.Context // of the clients; ends with Close
	cancel context.CancelFunc

	online atomic.Int64
	calls  atomic.Uint64 // that have reached their callees
}

// Open opens the sockets. The caller must Close it.
func Open(cfg Config) (*Load, error) {
	if cfg.Devices <= 0 || cfg.Devices >= noise.DefaultTable/2 {
		return nil, fmt.Errorf("snload: %d devices: from 1 to %d can be simulated", cfg.Devices, noise.DefaultTable/2-1)
	}
	if cfg.Network == nil {
		cfg.Network = underlay.OS()
	}
	if cfg.AtOnce <= 0 {
		cfg.AtOnce = defaultAtOnce
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Local) == 0 {
		any := netip.IPv4Unspecified()
		if a, ok := cfg.Ref.AddrPort(); ok && a.Addr().Is6() {
			any = netip.IPv6Unspecified()
		}
		for range defaultSockets {
			cfg.Local = append(cfg.Local, netip.AddrPortFrom(any, 0))
		}
	}
	l := &Load{
		cfg:     cfg,
		stamper: noise.NewStamper(0, nil),
		table:   noise.NewTable[*device](0),
		devices: make([]*device, 0, cfg.Devices),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.demux.init(l.table)
	for _, a := range cfg.Local {
		s, err := socket.Open(socket.Config{Network: cfg.Network, Local: a, Handler: &l.demux, Batch: 4, Logger: cfg.Logger})
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("snload: %w", err)
		}
		l.sockets = append(l.sockets, s)
	}
	return l, nil
}

// Close takes the devices offline, which tells the SN, and waits for all that
// the load has started.
func (l *Load) Close() error {
	l.cancel()
	var closing sync.WaitGroup
	for part := range l.cfg.AtOnce {
		closing.Go(func() {
			for i := part; i < len(l.devices); i += l.cfg.AtOnce {
				l.devices[i].client.Close()
			}
		})
	}
	closing.Wait()
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Online returns how many devices are online.
func (l *Load) Online() int { return int(l.online.Load()) }

// Repeats returns how many packets the devices have sent again because no
// answer came.
func (l *Load) Repeats() (n uint64) {
	for _, d := range l.devices {
		n += d.client.Repeats()
	}
	return n
}

// Packets returns how many packets the devices have sent and received.
func (l *Load) Packets() (sent, received uint64) {
	for _, s := range l.sockets {
		st := s.Stats()
		sent += st.Sent.Control.Packets
		received += st.Received.Control.Packets
	}
	return sent, received
}

// A device is one of the simulated ones.
type device struct {
	load    *Load
	client  *snclient.Client
	id      identity.ID
	sock    *socket.Socket
	remote  atomic.Uint32                  // the SN's index of our session, by which hints are addressed
	nonce   atomic.Uint64                  // of the last Describe
	to      atomic.Pointer[netip.AddrPort] // where the last new session began
	reached atomic.Bool                    // it was called since reset
	online  bool                           // belongs to the client's owner
}

// newDevice makes a device with an identity of its own, which is not started yet.
func (l *Load) newDevice(n int) (*device, error) {
	secret := identity.GenerateSecret()
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{
		Name:     fmt.Sprintf("load %d", n),
		SNs:      []identity.Ref{l.cfg.Ref},
		Versions: []uint16{1},
		Updated:  uint64(max(time.Now().UnixMilli(), 1)),
	})
	if err != nil {
		return nil, err
	}
	x := &device{load: l, id: d.ID(), sock: l.sockets[n%len(l.sockets)]}
	candidate := []wire.Candidate{{Kind: wire.CandidateHost, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)}), 40000)}}
	x.client = snclient.New(snclient.Config{
		Local:      noise.NewLocal(&identity.LocalDevice{Secret: secret, Device: d}),
		Ref:        l.cfg.Ref,
		Network:    l.cfg.Network,
		Send:       x.send,
		Indices:    l.table.For(x),
		Stamper:    l.stamper,
		Instance:   rand.Uint64(),
		Candidates: func() []wire.Candidate { return candidate },
		Inbox:      inbox,
		Handler:    x,
	})
	return x, nil
}

// send sends a packet of the device's, and notes by what the answer will name it.
func (d *device) send(to netip.AddrPort, b []byte) error {
	d.load.demux.sending(d, to, b)
	return d.sock.Send(to, b)
}

// HandleCalled implements [snclient.Handler].
func (d *device) HandleCalled(*snclient.Client, wire.Called) {
	d.load.calls.Add(1)
	d.reached.Store(true)
}

// HandleSignalled implements [snclient.Handler].
func (d *device) HandleSignalled(*snclient.Client, identity.ID, []byte) {}

// HandleState implements [snclient.Handler].
func (d *device) HandleState(_ *snclient.Client, s snclient.State) {
	if on := s == snclient.Online; on != d.online {
		d.online = on
		if on {
			d.load.online.Add(1)
		} else {
			d.load.online.Add(-1)
		}
	}
}
