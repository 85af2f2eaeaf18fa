package snload

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/blake2s"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// floodTick is how often a flood sends what is due.
const floodTick = time.Millisecond

// Flood sends the SN initiations that look new, and would take Diffie–Hellman to be found out,
// from sockets bound to local, one after the other. Meanwhile the devices ping, as in Ping: the phase is
// theirs. A device must be online, for what the SN is.
func (l *Load) Flood(ctx context.Context, d time.Duration, perSecond int, local []netip.AddrPort, atOnce int, p Progress) (sent uint64, pings Phase, err error) {
	server, to := l.server()
	if server == nil {
		return 0, Phase{}, errors.New("snload: flood: no device is online")
	}
	f, err := newForger(server)
	if err != nil {
		return 0, Phase{}, fmt.Errorf("snload: flood: %w", err)
	}
	var sockets []*socket.Socket
	defer func() {
		for _, s := range sockets {
			s.Close()
		}
	}()
	for _, a := range local {
		s, err := socket.Open(socket.Config{Network: l.cfg.Network, Local: a, Handler: deaf{}, Batch: 1, Logger: l.cfg.Logger})
		if err != nil {
			return 0, Phase{}, fmt.Errorf("snload: flood: %w", err)
		}
		sockets = append(sockets, s)
	}
	ctx, cancel := context.WithTimeout(ctx, d+time.Second)
	defer cancel()
	var count atomic.Uint64
	var flooding sync.WaitGroup
	over := make(chan struct{})
	flooding.Go(func() { f.flood(over, perSecond, sockets, to, &count) })
	pings = l.Ping(ctx, d, atOnce, p)
	close(over)
	flooding.Wait()
	return count.Load(), pings, nil
}

// server returns the SN's descriptor and address, nil if no device knows them.
func (l *Load) server() (*identity.Device, netip.AddrPort) {
	for _, d := range l.devices {
		if s := d.client.Server(); s != nil {
			if a, ok := l.cfg.Ref.AddrPort(); ok {
				return s, a
			}
			if a := d.to.Load(); a != nil {
				return s, *a
			}
		}
	}
	return nil, netip.AddrPort{}
}

// A deaf handler hears nothing.
type deaf struct{}

func (deaf) HandleControl(*socket.Socket, []byte, netip.AddrPort) {}
func (deaf) HandleSTUN(*socket.Socket, []byte, netip.AddrPort)    {}

// A forger makes initiations by changing one: the index and the ephemeral key, and
// mac1 with them, which anybody can who knows the SN's id (docs/spec/handshake.md §2).
type forger struct {
	packet []byte
	mac    hash.Hash
}

func newForger(server *identity.Device) (*forger, error) {
	secret := identity.GenerateSecret()
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		return nil, err
	}
	local := noise.NewLocal(&identity.LocalDevice{Secret: secret, Device: d})
	i, err := local.Initiate(server, noise.Offer{Index: 1, Stamp: uint64(max(time.Now().UnixMicro(), 1))})
	if err != nil {
		return nil, err
	}
	id := server.ID()
	key := blake2s.Sum256(append([]byte("bdt mac1"), id[:]...))
	mac, err := blake2s.New128(key[:])
	return &forger{append([]byte(nil), i.Packet()...), mac}, err
}

// next returns a new initiation, which is valid until the next.
func (f *forger) next() []byte {
	binary.BigEndian.PutUint32(f.packet[4:], rand.Uint32()|1)
	binary.BigEndian.PutUint64(f.packet[8:], rand.Uint64())
	at := len(f.packet) - wire.MACsLen
	f.mac.Reset()
	f.mac.Write(f.packet[:at])
	f.mac.Sum(f.packet[:at])
	return f.packet
}

// flood sends initiations until over is closed, and counts them.
func (f *forger) flood(over <-chan struct{}, perSecond int, sockets []*socket.Socket, to netip.AddrPort, count *atomic.Uint64) {
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	start := time.Now()
	for {
		select {
		case <-over:
			return
		case now := <-tick.C:
			due := uint64(now.Sub(start).Seconds() * float64(perSecond))
			for n := count.Load(); n < due; n++ {
				// What cannot be sent is as good as lost on the way.
				_ = sockets[n%uint64(len(sockets))].Send(to, f.next())
				count.Add(1)
			}
		}
	}
}
