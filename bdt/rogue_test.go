package bdt_test

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A rogue has valid keys of its own and a socket, and keeps to no rule.
type rogue struct {
	t       testing.TB
	device  *identity.LocalDevice
	local   *noise.Local
	stamper *noise.Stamper
	conn    underlay.UDPConn
	link    *netsim.Link
	index   uint32
	inbox   chan []byte // the last control packets that came

	mu      sync.Mutex
	sources []netip.AddrPort // what the packets under way claim to come from; zero: the truth
}

// rogue puts a rogue on the core. Close it.
func (w *world) rogue(addr string) *rogue {
	w.t.Helper()
	host := w.net.Host("rogue-" + addr)
	r := &rogue{
		t:       w.t,
		device:  newDevice(w.t, "rogue"),
		stamper: noise.NewStamper(0, nil),
		inbox:   make(chan []byte, 64),
		link:    netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: time.Millisecond}, addr)),
	}
	r.local = noise.NewLocal(r.device)
	r.conn = netsim.Must(host.ListenUDP(netip.AddrPortFrom(netip.MustParseAddr(addr), 7777)))
	r.link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if p.Src == r.conn.LocalAddr() {
			if r.sources[0].IsValid() {
				p.Src = r.sources[0]
			}
			r.sources = r.sources[1:]
		}
		emit(p, 0)
	})
	go r.read()
	return r
}

func (r *rogue) read() {
	for {
		ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
		if _, err := r.conn.ReadBatch(ds); err != nil {
			return
		}
		select {
		case r.inbox <- slices.Clone(ds[0].Data):
		default:
		}
	}
}

func (r *rogue) close() { r.conn.Close() }

func (r *rogue) id() identity.ID { return r.device.Device.ID() }

// send sends a packet from the source that is claimed; zero: the truth.
func (r *rogue) send(from, to netip.AddrPort, b []byte) {
	r.t.Helper()
	r.mu.Lock()
	r.sources = append(r.sources, from)
	r.mu.Unlock()
	if _, err := r.conn.WriteBatch([]underlay.Datagram{{Data: b, Addr: to}}); err != nil {
		r.t.Fatal(err)
	}
	time.Sleep(10 * time.Microsecond) // no faster than 100,000 packets a second
}

// initiate makes an initiation to a stack as whoever l is.
func (r *rogue) initiate(l *noise.Local, to *bdt.Stack) *noise.Initiator {
	r.t.Helper()
	r.index++
	i, err := l.Initiate(to.Device(), noise.Offer{
		Index:    r.index,
		Stamp:    r.stamper.Next(time.Now(), to.ID()),
		Dialling: true,
		Engines:  []wire.Engine{wire.EngineQUIC},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

// shake shakes hands with a stack, as itself.
func (r *rogue) shake(to *bdt.Stack, at netip.AddrPort) *noise.Association {
	r.t.Helper()
	for len(r.inbox) > 0 {
		<-r.inbox // what came before, in answer to something else
	}
	i := r.initiate(r.local, to)
	r.send(netip.AddrPort{}, at, i.Packet())
	timeout := time.After(time.Second)
	for {
		select {
		case b := <-r.inbox:
			if a, err := i.ReadResponse(b); err == nil && a.Association != nil {
				return a.Association
			}
		case <-timeout:
			r.t.Fatal("no response to a proper initiation")
		}
	}
}

// seal sends a sealed message.
func (r *rogue) seal(a *noise.Association, from, to netip.AddrPort, msg []byte) {
	r.t.Helper()
	b, err := a.Seal(nil, msg, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(from, to, b)
}

// addrOf returns where a stack on a public IPv4 host receives.
func addrOf(s *bdt.Stack, host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), s.LocalAddrs()[0].Port())
}
