package sn

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// benchDetails returns what benchmarks put into a device: two SNs, a PN, two
// endpoints and four candidates.
func benchDetails(b *testing.B, id identity.ID) (refs []identity.Ref, list []wire.Candidate) {
	b.Helper()
	for i := range 3 {
		ref, err := identity.NewRef(id, fmt.Sprintf("sn%d.example.org:8443", i))
		if err != nil {
			b.Fatal(err)
		}
		refs = append(refs, ref)
	}
	return refs, []wire.Candidate{host("192.0.2.1:1"), host("192.0.2.2:1"), host("[2001:db8::1]:1"), host("[2001:db8::2]:1")}
}

// A countingSocket counts what is sent.
type countingSocket struct{ sent atomic.Int64 }

func (c *countingSocket) Send(netip.AddrPort, []byte) error { c.sent.Add(1); return nil }
func (*countingSocket) LocalAddr() netip.AddrPort           { return fakeLocal }

// BenchmarkRestart registers b.N devices, stops the server as SIGTERM does, starts
// another on what it has kept, and calls every device. Run it with -benchtime
// 100000x: making the devices takes most of the time, and is not measured.
func BenchmarkRestart(b *testing.B) {
	r := newRealRig(b, Limits{})
	r.config.State = filepath.Join(b.TempDir(), "state")
	r.config.Limits = Limits{Handshakes: -1, Pending: 1 << 22, Devices: 1 << 22, PerNetwork: 1 << 22, Workers: 1}
	via := &countingSocket{}
	open := func() {
		r.s = r.newServer()
		r.s.via = func(netip.AddrPort) sender { return via }
		if err := r.s.openState(); err != nil {
			b.Fatal(err)
		}
		r.s.serve()
	}
	open()
	refs, list := benchDetails(b, r.self.Device.ID())
	ids := make([]identity.ID, b.N)
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Go(func() {
			for i := part; i < b.N; i += 2 {
				ids[i] = registerForBench(b, r, i, refs, list)
			}
		})
	}
	wg.Wait()
	r.s.devices.each(func(x *session, _ place) { x.at.via, x.heard = via, time.Since(r.s.start) })

	// All devices at once: the most that a second may ask. (The server has no
	// recorder here.)
	measure := func(what string, f func()) {
		began, cpu := time.Now(), cpuTime()
		f()
		b.ReportMetric(time.Since(began).Seconds(), what+"-s")
		b.ReportMetric((cpuTime() - cpu).Seconds(), what+"-cpu-s")
	}
	flush := func(shards int) func() {
		return func() {
			if err := r.s.flush(0, shards); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	measure("write-all", flush(registryShards))
	measure("write-beats", flush(registryShards/beatParts))
	measure("stop", func() {
		if err := r.s.Close(); err != nil {
			b.Fatal(err)
		}
	})
	info, err := os.Stat(r.config.State)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "disk-MB")

	via.sent.Store(0)
	measure("start", open)
	measure("call-all", func() {
		for _, id := range ids {
			p, ok := r.s.devices.peer(id)
			if !ok {
				b.Fatalf("%d of %d devices are there", r.s.devices.quota.Len(), b.N)
			}
			r.s.sendMessage(p.session, p.at, &wire.Called{Call: 1, Caller: id, Device: p.descriptor.bytes}, time.Now())
		}
	})
	if n := via.sent.Load(); n != int64(b.N) {
		b.Errorf("%d devices were called", n)
	}
	b.StopTimer()
	r.s.Close()
}
