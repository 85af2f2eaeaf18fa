package snload_test

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snload"
	"github.com/bdtnet/bdt/sn"
)

// BenchmarkMemory brings b.N devices online at a server in this process, over
// loopback, and reports what memory each takes at both ends. Run it with
// -benchtime 5000x.
func BenchmarkMemory(b *testing.B) {
	secret := identity.SecretFromSeed([32]byte{1})
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		b.Fatal(err)
	}
	server, err := sn.Open(sn.Config{
		Local:  &identity.LocalDevice{Secret: secret, Device: d},
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	l, err := snload.Open(snload.Config{Ref: server.Ref(), Devices: b.N})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	before := memory()
	if err := l.Prepare(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	prepared := memory()
	if p := l.Register(b.Context(), nil); p.Done != uint64(b.N) {
		b.Fatalf("%+v", p)
	}
	after := memory()
	n := float64(b.N)
	b.ReportMetric(float64(prepared.HeapAlloc-before.HeapAlloc)/n, "identity-bytes/device")
	b.ReportMetric(float64(after.HeapAlloc-prepared.HeapAlloc)/n, "online-bytes/device")
	b.ReportMetric(float64(after.StackInuse-before.StackInuse)/n, "stack-bytes/device")
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
