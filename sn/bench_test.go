package sn

import (
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// nowhere is a socket that sends nothing.
type nowhere struct{}

func (*nowhere) Send(netip.AddrPort, []byte) error { return nil }

// cpuTime returns the processor time that the process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchmarkPackets measures a server on packets that were made before.
func benchmarkPackets(b *testing.B, what string, make func(r *rig, i int) (*dev, []byte)) {
	r := newRealRig(b, Limits{Call: Rate{PerSecond: -1}, Prefix: Rate{PerSecond: -1}, Callee: Rate{PerSecond: -1}, Network: Rate{PerSecond: -1}, Lookups: Rate{PerSecond: -1}, Directory: Rate{PerSecond: -1}, Signal: Rate{PerSecond: -1}, Calls: 1 << 30})
	type arrival struct {
		at place
		b  []byte
	}
	via := &nowhere{}
	arrivals := []arrival{}
	for i := range b.N {
		d, p := make(r, i)
		arrivals = append(arrivals, arrival{place{via, d.addr}, p})
	}
	// The devices moved from the fake socket to this one.
	for i := range r.s.devices.shards {
		for _, d := range r.s.devices.shards[i].devices {
			d.session.at.via = via
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	began := cpuTime()
	for _, a := range arrivals {
		r.s.handleControl(a.at, a.b)
	}
	r.settle()
	b.ReportMetric(float64(b.N)/(cpuTime()-began).Seconds(), what+"/cpu-s")
}

func BenchmarkPing(b *testing.B) {
	var d *dev
	benchmarkPackets(b, "pings", func(r *rig, i int) (*dev, []byte) {
		if i == 0 {
			d = r.online(1)
		}
		return d, d.seal(&wire.Ping{Request: uint32(i), Instance: d.instance, RTT: time.Millisecond})
	})
}

func BenchmarkCall(b *testing.B) {
	var d, callee *dev
	var init []byte
	benchmarkPackets(b, "calls", func(r *rig, i int) (*dev, []byte) {
		if i == 0 {
			d, callee = r.online(1), r.online(2)
			init = d.initiationTo(b, callee)
		}
		return d, d.seal(&wire.Call{Request: uint32(i), Callee: callee.id(), Initiation: init})
	})
}

func BenchmarkLookup(b *testing.B) {
	var d *dev
	benchmarkPackets(b, "lookups", func(r *rig, i int) (*dev, []byte) {
		if i == 0 {
			d = r.online(1)
		}
		return d, d.seal(&wire.Lookup{Request: uint32(i), ID: d.id()})
	})
}

func BenchmarkSTUN(b *testing.B) {
	r := newRealRig(b, Limits{})
	from := place{&nowhere{}, addrOf(1)}
	req := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		r.s.handleSTUN(from, req)
	}
	b.ReportMetric(float64(b.N)/(cpuTime()-began).Seconds(), "bindings/cpu-s")
}

// BenchmarkRefuseInitiation measures what a flood costs: initiations with a right
// mac1 when the budget is used up.
func BenchmarkRefuseInitiation(b *testing.B) {
	r := newRealRig(b, Limits{Handshakes: 1})
	first := r.dev(1).initiation().Packet()
	via := &nowhere{}
	i := 0
	began := cpuTime()
	for b.Loop() {
		i++
		r.s.handleControl(place{via, addrOf(i % 65536)}, remac(first, uint32(i), r.self.Device.ID()))
	}
	b.ReportMetric(float64(b.N)/(cpuTime()-began).Seconds(), "initiations/cpu-s")
}

// BenchmarkMemoryPerDevice registers b.N devices, each with a descriptor of the
// size that two SNs, a PN and two endpoints give and with four candidates, and
// reports what memory each takes. Run it with -benchtime 100000x: making the
// devices takes most of the time.
func BenchmarkMemoryPerDevice(b *testing.B) {
	r := newRealRig(b, Limits{Handshakes: -1, Pending: 1 << 22, Devices: 1 << 22, PerNetwork: 1 << 22})
	refs, list := benchDetails(b, r.self.Device.ID())
	before := heap()
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < b.N; i += 2 {
				registerForBench(b, r, i, refs, list)
			}
		})
	}
	wg.Wait()
	// What a handshake leaves for 10 s is not a device's.
	for part := range sweepParts {
		r.s.sweep(part, time.Since(r.s.start)+20*time.Second)
	}
	b.ReportMetric(float64(heap()-before)/float64(b.N), "bytes/device")
	if n := r.s.Stats().Devices; n != b.N {
		b.Errorf("%d devices, want %d", n, b.N)
	}
}

// registerForBench registers a device without waiting for workers, and returns its
// id.
func registerForBench(b *testing.B, r *rig, i int, refs []identity.Ref, list []wire.Candidate) identity.ID {
	l := newLocal(b, i, identity.ID{})
	var err error
	l.Device, err = l.Device.Update(l.Secret, identity.DeviceBody{
		Updated: 2000, Name: "a device of some name", SNs: refs[:2], PNs: refs[2:],
		Endpoints: []netip.AddrPort{list[0].Addr, list[2].Addr},
	})
	if err != nil {
		b.Error(err)
		return identity.ID{}
	}
	d := r.devOf(i%65536, l)
	sock := newFakeSocket()
	at := place{sock, d.addr}
	ini := d.initiation()
	v := r.s.gate.Admit(time.Now(), ini.Packet(), d.addr)
	r.s.handleInitiation(at, ini.Packet(), v.Hash)
	out := sock.take(d.addr)
	if len(out) != 1 {
		b.Errorf("initiation earned %d packets", len(out))
		return identity.ID{}
	}
	a, err := ini.ReadResponse(out[0])
	if err != nil {
		b.Error(err)
		return identity.ID{}
	}
	x, _ := r.s.sessions.Get(a.Association.RemoteIndex())
	x.at.via, x.proven = r.sock, true
	x.heard = 24 * time.Hour // however long the others take
	reg := wire.Register{Instance: 1, Candidates: list}
	now := time.Now()
	r.s.handleRegister(&request{x: x, to: place{&nowhere{}, d.addr}, b: reg.Append(nil), clock: now, now: now.Sub(r.s.start)})
	return l.Device.ID()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
