package snload_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snload"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is an SN, and a host for the load, 10 ms from it and back.
type world struct {
	t      *testing.T
	net    *netsim.Network
	link   *netsim.Link
	host   *netsim.Host
	server *sn.Server
	config sn.Config
}

func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1})}
		defer w.net.Close()
		core, host := w.net.Router("core"), w.net.Host("sn")
		w.host = w.net.Host("load")
		netsim.Must(w.net.Connect(host, core, netsim.LinkConfig{}, "203.0.113.1"))
		w.link = netsim.Must(w.net.Connect(w.host, core, netsim.LinkConfig{Delay: 5 * time.Millisecond}, "198.51.100.7"))
		secret := identity.SecretFromSeed([32]byte{1})
		d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.config = sn.Config{
			Network: host,
			Local:   &identity.LocalDevice{Secret: secret, Device: d},
			Listen:  []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:8443")},
			Limits:  sn.Limits{Prefix: sn.Rate{PerSecond: -1}, Call: sn.Rate{PerSecond: -1}, Callee: sn.Rate{PerSecond: -1}, Network: sn.Rate{PerSecond: -1}},
		}
		w.start()
		defer func() { w.server.Close() }()
		f(t, w)
	})
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.server, err = sn.Open(w.config); err != nil {
		w.t.Fatal(err)
	}
}

// load brings devices online.
func (w *world) load(n int) *snload.Load {
	w.t.Helper()
	l, err := snload.Open(snload.Config{
		Network: w.host, Ref: w.server.Ref(), Devices: n, AtOnce: 8,
		Local: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:0"), netip.MustParseAddrPort("0.0.0.0:0")},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	if err := l.Prepare(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
	var last atomic.Int64
	p := l.Register(w.t.Context(), func(done int64) { last.Store(max(last.Load(), done)) })
	synctest.Wait() // the clients tell that they are online a moment after they are
	if p.Done != uint64(n) || p.Failed != 0 || p.Repeats != 0 || l.Online() != n || last.Load() != int64(n) {
		w.t.Fatalf("%d online, progress %d: %+v", l.Online(), last.Load(), p)
	}
	// A Describe, a handshake, a registration: 10 ms each.
	if p.Latency.Min != 30*time.Millisecond || p.Latency.P99 != 30*time.Millisecond || p.Elapsed != time.Duration((n+7)/8)*30*time.Millisecond {
		w.t.Errorf("%+v", p)
	}
	return l
}

func TestPhases(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.load(50)
		defer l.Close()

		// Each pings at once, and then every 25 s.
		if p := l.Rest(t.Context(), 100*time.Second); p.Done < 150 || p.Done > 260 || p.Latency.P99 != 10*time.Millisecond {
			t.Errorf("rest: %+v", p)
		}
		st := w.server.Stats()
		p := l.Ping(t.Context(), time.Second, 5, nil)
		if p.Done != 500 || p.Failed != 0 || p.Elapsed != time.Second || p.Latency.Mean != 10*time.Millisecond || p.PerSecond() != 500 {
			t.Errorf("pings: %+v", p)
		}
		if n := w.server.Stats().Pings - st.Pings; n < 500 || n > 520 {
			t.Errorf("the SN counted %d pings", n)
		}
		p = l.Call(t.Context(), time.Second, 5, nil)
		if p.Done != 500 || p.Failed != 0 || p.Reached != 500 || p.Latency.Max != 10*time.Millisecond {
			t.Errorf("calls: %+v", p)
		}
		if n := w.server.Stats().CallsMade; n != 500 {
			t.Errorf("the SN counted %d calls", n)
		}
		l.Close()
		time.Sleep(time.Second)
		if n := w.server.Stats().Devices; n != 0 {
			t.Errorf("%d devices after the load was closed", n)
		}
	})
}

// What is lost is counted, and not hidden.
func TestLoss(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.load(10)
		defer l.Close()
		time.AfterFunc(time.Second, func() { w.link.SetDown(true) })
		time.AfterFunc(1600*time.Millisecond, func() { w.link.SetDown(false) })
		p := l.Ping(t.Context(), 3*time.Second, 2, nil)
		if p.Repeats == 0 || p.Latency.Max < 600*time.Millisecond || p.Done == 0 {
			t.Errorf("%+v", p)
		}
		w.link.SetDown(true)
		p = l.Call(t.Context(), time.Second, 3, nil)
		if p.Done != 0 || p.Failed == 0 || p.Err == nil || p.Reached != 0 || p.PerSecond() != 0 {
			t.Errorf("%+v", p)
		}
		time.Sleep(time.Minute)
		if n := l.Online(); n != 0 {
			t.Errorf("%d online without a network", n)
		}
		w.link.SetDown(false)
		time.Sleep(2 * time.Minute)
		if n := l.Online(); n != 10 {
			t.Errorf("%d of 10 came back", n)
		}
	})
}

// An SN that has lost everything has its devices back when their pings earn
// hints; Reach tells when.
func TestReach(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.load(30)
		defer l.Close()
		if p := l.Reach(t.Context(), time.Now(), 100, 4, nil); p.Done != 30 || p.Failed != 0 || p.Latency.Max > time.Second {
			t.Errorf("%+v", p)
		}
		w.server.Close()
		stopped := time.Now()
		w.start()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if p := l.Reach(ctx, stopped, 10, 4, nil); p.Done != 10 || p.Failed != 0 || p.Latency.Max < 10*time.Millisecond {
			t.Errorf("%+v", p)
		}
		// One that has kept its state knows them at once, and they need not know.
		w.server.Close()
		w.config.State = filepath.Join(t.TempDir(), "state")
		w.start()
		if p := l.Reach(ctx, time.Now(), 100, 4, nil); p.Done != 30 {
			t.Errorf("%+v", p)
		}
		time.Sleep(time.Minute)
		w.server.Close()
		stopped = time.Now()
		w.start()
		if p := l.Reach(t.Context(), stopped, 100, 4, nil); p.Done != 30 || p.Repeats != 0 || p.Latency.Max > 500*time.Millisecond {
			t.Errorf("with its state: %+v", p)
		}
		if st := w.server.Stats(); st.Handshakes != 0 || st.Devices != 30 {
			t.Errorf("with its state: %+v", st)
		}
		w.server.Close()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p := l.Reach(ctx, time.Now(), 10, 4, nil); p.Done != 0 || p.Failed != 10 {
			t.Errorf("without an SN: %+v", p)
		}
		w.start()
	})
}

// A flood takes the SN no more than its budget, and no device anything.
func TestFlood(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.load(20)
		defer l.Close()
		before := w.server.Stats()
		var local []netip.AddrPort
		for range 16 {
			local = append(local, netip.MustParseAddrPort("0.0.0.0:0"))
		}
		sent, p, err := l.Flood(t.Context(), time.Second, 10_000, local, 5, nil)
		if err != nil || sent < 9_900 || sent > 10_100 {
			t.Errorf("%d sent, %v", sent, err)
		}
		if p.Done != 500 || p.Failed != 0 || p.Repeats != 0 {
			t.Errorf("pings: %+v", p)
		}
		st := w.server.Stats()
		if n := st.Handshakes - before.Handshakes; n == 0 || n > 4200 { // a second's budget, and the burst
			t.Errorf("%d Diffie–Hellman operations", n)
		}
		if refused := st.Cookies - before.Cookies; refused < sent/2 {
			t.Errorf("%d of %d were refused: %+v", refused, sent, st)
		}
		if st.Malformed != before.Malformed {
			t.Error("the initiations are not even that")
		}
		if _, _, err := l.Flood(t.Context(), time.Second, 1, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.99:0")}, 1, nil); err == nil {
			t.Error("flooded from an address of nobody's")
		}
		offline, err := snload.Open(snload.Config{Network: w.host, Ref: w.server.Ref(), Devices: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer offline.Close()
		if _, _, err := offline.Flood(t.Context(), time.Second, 1, local, 1, nil); err == nil {
			t.Error("flooded whom nobody knows")
		}
	})
}

// Stopped in the middle, everything ends.
func TestStop(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l, err := snload.Open(snload.Config{Network: w.host, Ref: w.server.Ref(), Devices: 100, AtOnce: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Prepare(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if p := l.Register(ctx, nil); p.Done == 0 || p.Done > 8 || p.Elapsed > 100*time.Millisecond {
			t.Errorf("%+v", p)
		}
		if p := l.Rest(ctx, time.Hour); p.Elapsed != 0 {
			t.Errorf("%+v", p)
		}
		l.Close()
		if err := l.Prepare(ctx, nil); err == nil {
			t.Error("prepared after the end")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for _, n := range []int{-1, 0, 1 << 20} {
		if _, err := snload.Open(snload.Config{Devices: n}); err == nil {
			t.Errorf("%d devices are accepted", n)
		}
	}
	bad := snload.Config{Devices: 1, Local: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("192.0.2.77:0")}}
	if _, err := snload.Open(bad); err == nil {
		t.Error("an address of nobody's is bound")
	}
}
