package sn

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// Initiations from forged sources, each with a right mac1, cost no more Diffie–
// Hellman than the budget, and no known device a pong.
func TestFloodOverANetwork(t *testing.T) {
	const rate, budget = 20_000, 2000
	flood := 5 * time.Second
	if testing.Short() {
		flood = time.Second
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFleetOf(t, 50, Config{PingInterval: time.Second, Limits: Limits{Handshakes: budget}})
		time.Sleep(2 * time.Second)
		host := f.net.Host("attacker")
		link := netsim.Must(f.net.Connect(host, f.core, netsim.LinkConfig{}, "192.0.2.66"))
		sock := netsim.Must(host.ListenUDP(netip.MustParseAddrPort("192.0.2.66:666")))
		defer sock.Close()
		random := rand.New(rand.NewPCG(1, 2))
		link.SetTamper(func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
			if p.Dst != fleetListen {
				return // cookies for a source that was not forged; there is none
			}
			var a [4]byte
			for i := range a {
				a[i] = byte(random.Uint32())
			}
			a[0] = 100 + a[0]%80 // not the devices' network, which is 198.18.0.0/15
			p.Src = netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+random.IntN(60000)))
			emit(p, 0)
		})

		before := f.server.Stats()
		first := f.initiation()
		batch := make([]underlay.Datagram, rate/100)
		sent := 0
		for range flood / (10 * time.Millisecond) {
			for i := range batch {
				sent++
				batch[i] = underlay.Datagram{Addr: fleetListen, Data: remac(first, uint32(sent), f.config.Local.Device.ID())}
			}
			if _, err := sock.WriteBatch(batch); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		st := f.server.Stats()
		handshakes, cookies := st.Handshakes-before.Handshakes, st.Cookies-before.Cookies
		if limit := uint64(budget + budget*flood.Seconds() + 1); handshakes > limit {
			t.Errorf("%d Diffie–Hellman operations in %v, want at most %d", handshakes, flood, limit)
		}
		if cookies < uint64(sent)/2 {
			t.Errorf("%d initiations, %d cookies: the flood did not arrive; %+v", sent, cookies, st)
		}
		if pings := st.Pings - before.Pings; pings < uint64(flood.Seconds()*50*0.7) {
			t.Errorf("%d pings during the flood", pings)
		}
		// Every packet of a device was a ping that was answered once.
		for end := time.Now().Add(3 * time.Second); ; time.Sleep(7 * time.Millisecond) {
			out, in := f.counts()
			if out == in {
				t.Logf("%d initiations in %v: %d with Diffie–Hellman; %d pings, all answered", sent, flood, handshakes, st.Pings-before.Pings)
				break
			}
			if time.Now().After(end) {
				t.Fatalf("devices sent %d packets and got %d", out, in)
			}
		}
		for i, x := range f.ships {
			if x.lapses.Load() != 1 { // it came online once
				t.Errorf("device %d was told of %d states", i, x.lapses.Load())
			}
		}
	})
}

// initiation returns one for the server.
func (f *fleet) initiation() []byte {
	f.t.Helper()
	i, err := f.ships[0].local.Initiate(f.config.Local.Device, noise.Offer{Index: 1, Stamp: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	return i.Packet()
}

// counts returns how many packets all devices have sent and received.
func (f *fleet) counts() (sent, received int64) {
	for _, x := range f.ships {
		sent += x.sent.Load()
		received += x.received.Load()
	}
	return sent, received
}
