package pn_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/pnclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

// BenchmarkRelay has a PN and a bare forwarder, each a process of its own, forward the same
// traffic by turns, and reports packets and bytes for each second of their processor time. Bulk is
// runs that the kernel has coalesced; scattered is single packets of 100 bytes from many.
// The sinks do not read, which costs both the same.
func BenchmarkRelay(b *testing.B) {
	for _, load := range []struct {
		name          string
		pairs         int
		size, segment int
	}{
		{"bulk", 4, 14 * 1220, 1220},
		{"bulk46", 4, 46 * 1220, 1220},
		{"scattered", 64, 100, 0},
	} {
		b.Run(load.name, func(b *testing.B) {
			relay := newRelayLoad(b, load.pairs)
			bare := newBareLoad(b, load.pairs)
			var ratios, packets, bytes, bare1, bare2 []float64
			for b.Loop() {
				p := relay.run(load.size, load.segment)
				q := bare.run(load.size, load.segment)
				pp, qq := float64(p.packets)/p.cpu.Seconds(), float64(q.packets)/q.cpu.Seconds()
				ratios = append(ratios, 100*pp/qq)
				packets, bytes = append(packets, pp), append(bytes, float64(p.bytes)/p.cpu.Seconds())
				bare1, bare2 = append(bare1, qq), append(bare2, float64(q.bytes)/q.cpu.Seconds())
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(ratios), "%of-bare")
			b.ReportMetric(median(packets), "packets/cpu-s")
			b.ReportMetric(median(bytes)/1e9, "GB/cpu-s")
			b.ReportMetric(median(bare1), "bare-packets/cpu-s")
			b.ReportMetric(median(bare2)/1e9, "bare-GB/cpu-s")
		})
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// A load is traffic through a child.
type load struct {
	child *child
	conns []underlay.UDPConn // the sources
	to    netip.AddrPort
	heads [][]byte // of the packets of each
}

// burst is how long one turn lasts.
const burst = 300 * time.Millisecond

// run sends for a while, and returns what the child has made of it.
func (l *load) run(size, segment int) usage {
	packets := make([][]underlay.Datagram, len(l.conns))
	for i, head := range l.heads {
		run := make([]byte, size)
		for at := 0; at < size; at += cmp.Or(segment, size) {
			copy(run[at:], head)
		}
		for range 8 {
			packets[i] = append(packets[i], underlay.Datagram{Data: run, Addr: l.to, SegmentSize: segment})
		}
	}
	before := l.child.usage()
	for start := time.Now(); time.Since(start) < burst; {
		for i, c := range l.conns {
			n := len(packets[i])
			if segment == 0 {
				n = 1 // scattered
			}
			c.WriteBatch(packets[i][:n])
		}
	}
	time.Sleep(20 * time.Millisecond)
	return l.child.usage().minus(before)
}

// newBareLoad starts a bare forwarder and sources, each with a sink.
func newBareLoad(b *testing.B, pairs int) *load {
	l := &load{child: startChild(b, "bare")}
	l.to = netip.MustParseAddrPort(l.child.line)
	for range pairs {
		source, sink := listen(b), listen(b)
		l.child.tell(fmt.Sprintf("%v %v", source.LocalAddr(), sink.LocalAddr()))
		l.conns, l.heads = append(l.conns, source), append(l.heads, make([]byte, 20))
	}
	l.child.usage() // it has heard of all
	return l
}

func listen(b *testing.B) underlay.UDPConn {
	b.Helper()
	c, err := underlay.OS().ListenUDP(anyPort)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// newRelayLoad starts a PN and binds pairs of devices at it.
func newRelayLoad(b *testing.B, pairs int) *load {
	l := &load{child: startChild(b, "relay")}
	ref, err := identity.ParseRef(l.child.line)
	if err != nil {
		b.Fatal(err)
	}
	l.to = netip.MustParseAddrPort(ref.Addr)
	for i := range pairs {
		source, sink := newDevice(b, ref, 2*i), newDevice(b, ref, 2*i+1)
		x, y := bindPair(b, source, sink)
		<-x.Ready()
		<-y.Ready()
		l.conns, l.heads = append(l.conns, source), append(l.heads, wire.AppendRelayedHeader(nil, x.Relay().Tag))
	}
	return l
}

// A device is a client of a PN on a socket of its own, which nobody reads but while it
// is bound.
type device struct {
	underlay.UDPConn
	local  *noise.Local
	client *pnclient.Client
}

func newDevice(b *testing.B, ref identity.Ref, n int) *device {
	b.Helper()
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1000)
	secret := identity.SecretFromSeed(seed)
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		b.Fatal(err)
	}
	x := &device{UDPConn: listen(b), local: noise.NewLocal(&identity.LocalDevice{Secret: secret, Device: d})}
	x.client = pnclient.New(pnclient.Config{
		Local:   x.local,
		Ref:     ref,
		Network: underlay.OS(),
		Send: func(to netip.AddrPort, p []byte) error {
			_, err := x.WriteBatch([]underlay.Datagram{{Data: p, Addr: to}})
			return err
		},
		SetRelay:    func(netip.AddrPort, socket.Sink) {},
		DeleteRelay: func(netip.AddrPort, socket.Sink) {},
		Indices:     noise.NewTable[int](0).For(0),
		Stamper:     noise.NewStamper(0, nil),
	})
	go func() {
		ds := []underlay.Datagram{{Data: make([]byte, 2048)}}
		for {
			ds[0].Data = ds[0].Data[:cap(ds[0].Data)]
			if _, err := x.ReadBatch(ds); err != nil {
				return
			}
			if ds[0].Data[0] == byte(wire.TypeRelayed) {
				return // from now on nobody reads
			}
			x.client.HandleControl(ds[0].Data, ds[0].Addr)
		}
	}()
	x.client.Start(context.Background())
	b.Cleanup(func() { x.client.Close() })
	return x
}

// bindPair binds two devices with each other.
func bindPair(b *testing.B, x, y *device) (*pnclient.Binding, *pnclient.Binding) {
	b.Helper()
	tag := pnclient.NewTag()
	bind := func(self, peer *device, pays bool) *pnclient.Binding {
		binding, err := self.client.Bind(pnclient.BindOptions{Tag: tag, Peer: peer.local.ID(), Pays: pays})
		if err != nil {
			b.Fatal(err)
		}
		return binding
	}
	return bind(x, y, true), bind(y, x, false)
}
