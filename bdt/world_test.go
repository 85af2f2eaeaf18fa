package bdt_test

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// A world is a simulated internet with one super node. Devices hang behind
// NATs, or on the core itself.
type world struct {
	t    testing.TB
	net  *netsim.Network
	core *netsim.Router
	sn   *sn.Server
	ref  identity.Ref

	snLink *netsim.Link

	snHost   *netsim.Host
	snDevice *identity.LocalDevice

	links map[string]*netsim.Link // by a name that behind and dualStack choose
}

// idT keeps test helpers short.
type idT = identity.ID

// fixedPort is where a stack listens that is to come back to where it was.
var fixedPort = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:7000"), netip.MustParseAddrPort("[::]:7000")}

// inVirtualTime runs f in a world in a bubble. snDelay is one way between the
// core and the SN.
func inVirtualTime(t *testing.T, snDelay time.Duration, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, snDelay)
		defer w.close()
		f(t, w)
	})
}

func newWorld(t testing.TB, snDelay time.Duration) *world {
	t.Helper()
	w := &world{t: t, net: netsim.New(netsim.Config{Seed: 1}), links: map[string]*netsim.Link{}}
	w.core = w.net.Router("internet")
	host := w.net.Host("sn")
	w.snLink = netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: snDelay}, "203.0.113.1", "2001:db8::1"))
	w.snHost, w.snDevice = host, newDevice(t, "sn")
	w.sn = w.openSN(host, w.snDevice)
	w.net.SetName("sn.example", netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1"))
	w.ref = identity.Ref{ID: w.sn.Ref().ID, Addr: "sn.example:8443"}
	return w
}

func (w *world) openSN(host *netsim.Host, d *identity.LocalDevice) *sn.Server {
	w.t.Helper()
	s, err := sn.Open(sn.Config{
		Network:   host,
		Local:     d,
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:8443"), netip.MustParseAddrPort("[::]:8443")},
		Advertise: "203.0.113.1:8443",
		Logger:    testLogger("sn"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// restartSN has the SN forget everything.
func (w *world) restartSN() {
	w.t.Helper()
	w.sn.Close()
	w.sn = w.openSN(w.snHost, w.snDevice)
}

func (w *world) close() {
	w.sn.Close()
	w.net.Close()
}

// behind makes a host behind a NAT of its own. delay is one way between the
// NAT and the core.
func (w *world) behind(name string, nat netsim.NATConfig, delay time.Duration, wan string) *netsim.Host {
	w.t.Helper()
	h, n := w.net.Host(name), w.net.NAT(name+"-nat", nat)
	w.links[name] = netsim.Must(w.net.Connect(n, w.core, netsim.LinkConfig{Delay: delay}, wan))
	netsim.Must(w.net.Connect(h, n, netsim.LinkConfig{}, "198.18.1.2/24"))
	return h
}

// cutter returns a function that cuts or mends the link that behind made.
func (w *world) cutter(name string) func(down bool) {
	return func(down bool) { w.links[name].SetDown(down) }
}

// dualStack makes a host with IPv4 behind a NAT and IPv6 behind a firewall,
// over different links: name4 and name6.
func (w *world) dualStack(name, wan4, addr6 string) *netsim.Host {
	w.t.Helper()
	h := w.net.Host(name)
	for suffix, config := range map[string]struct {
		nat        netsim.NATConfig
		wan, inner string
	}{
		"4": {netsim.PortRestricted, wan4, "198.18.1.2/24"},
		"6": {netsim.Firewall, "", addr6 + "/64"},
	} {
		nat := w.net.NAT(name+suffix, config.nat)
		var wan []string
		if config.wan != "" {
			wan = []string{config.wan}
		}
		w.links[name+suffix] = netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, wan...))
		netsim.Must(w.net.Connect(h, nat, netsim.LinkConfig{Delay: time.Millisecond}, config.inner))
	}
	return h
}

// public makes a host on the core itself.
func (w *world) public(name string, delay time.Duration, addrs ...string) *netsim.Host {
	w.t.Helper()
	h := w.net.Host(name)
	w.links[name] = netsim.Must(w.net.Connect(h, w.core, netsim.LinkConfig{Delay: delay}, addrs...))
	return h
}

// open opens a stack on a host and waits until it is online.
func (w *world) open(name string, host *netsim.Host, change ...func(*bdt.Config)) *bdt.Stack {
	w.t.Helper()
	cfg := bdt.Config{
		Device:  newDevice(w.t, name),
		SNs:     []identity.Ref{w.ref},
		Network: host,
		Logger:  testLogger(name),
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := bdt.Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(cfg.SNs) == 0 {
		return s
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.WaitOnline(ctx); err != nil {
		s.Close()
		w.t.Fatalf("%s: %v", name, err)
	}
	return s
}

// newDevice makes a fresh identity.
func newDevice(t testing.TB, name string) *identity.LocalDevice {
	t.Helper()
	secret := identity.GenerateSecret()
	d, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{
		Name:    name,
		Updated: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &identity.LocalDevice{Secret: secret, Device: d}
}

// testLogger logs to stderr if BDT_TEST_LOG names the one who logs.
func testLogger(name string) *slog.Logger {
	if want := os.Getenv("BDT_TEST_LOG"); want == "all" || want != "" && strings.Contains(want, name) {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", name)
	}
	return nil
}

// ask dials echo and returns how long it took from Dial to the first answered
// byte.
func ask(t testing.TB, s *bdt.Stack, id identity.ID) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := s.Dial(ctx, id, bdt.EchoService)
	if err != nil {
		explain(t, s, id)
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		explain(t, s, id)
		t.Fatal(err)
	}
	return time.Since(start)
}

// explain logs what a stack did to reach a peer.
func explain(t testing.TB, s *bdt.Stack, id identity.ID) {
	t.Helper()
	e, _ := s.Explain(id)
	for _, p := range e.Paths {
		t.Logf("path %s %s %v → %v rtt %v current %v", p.Kind, p.State, p.Local, p.Remote, p.RTT, p.Current)
	}
	for _, l := range e.Lines {
		t.Logf("%s %s", l.Time.Format("15:04:05.000000"), l.Text)
	}
}
