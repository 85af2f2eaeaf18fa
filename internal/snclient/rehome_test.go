package snclient_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// roamer returns a node whose socket is bound to no address: two, one for each family,
// with the one that an address needs used for it.
func (w *world) roamer(n byte, addr string, delay time.Duration) *node {
	w.t.Helper()
	x := w.newNode(n, addr, delay)
	x.sock.Close()
	var socks []*socket.Socket
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		s, err := socket.Open(socket.Config{Network: x.host, Local: netip.AddrPortFrom(any, 0), Handler: x})
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { s.Close() })
		socks = append(socks, s)
	}
	x.sock = socks[0]
	x.config.Send = func(to netip.AddrPort, b []byte) error {
		if to.Addr().Is4() {
			return socks[0].Send(to, b)
		}
		return socks[1].Send(to, b)
	}
	return x
}

// named makes the SN known by a name with an address of each family.
func (w *world) named(x *node) {
	w.t.Helper()
	w.sn.Close()
	if err := w.snHost.AddAddr(w.snLink, "2001:db8::1"); err != nil {
		w.t.Fatal(err)
	}
	w.config.Listen = append(w.config.Listen, netip.MustParseAddrPort("[2001:db8::1]:8443"))
	w.startSN()
	w.net.SetName("sn.example", netip.MustParseAddr(snAddr), netip.MustParseAddr("2001:db8::1"))
	ref, err := identity.NewRef(w.snID.Device.ID(), "sn.example:8443")
	if err != nil {
		w.t.Fatal(err)
	}
	x.config.Ref = ref
}

// A device that has moved is where its SN sees it two round trips later, under the keys
// that it had, in the same family or the other, and says that it is online only then.
func TestRehome(t *testing.T) {
	for _, to := range []string{"198.51.100.77", "2001:db8:7::7"} {
		inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
			a := w.roamer(1, "198.51.100.1", 15*ms)
			w.named(a)
			a.start()
			time.Sleep(time.Minute)
			before := w.sn.Stats()
			a.host.RemoveAddr(netip.MustParseAddr("198.51.100.1"))
			time.Sleep(2 * time.Second)
			netsim.Must(w.net.Connect(a.host, w.core, netsim.LinkConfig{Delay: 15 * ms}, to))
			a.client.Rehome()
			synctest.Wait()
			if a.client.Online() || a.client.State() != snclient.Online {
				t.Errorf("moving: %v, online %v", a.client.State(), a.client.Online())
			}
			began := time.Now()
			if err := a.client.WaitOnline(t.Context()); err != nil || time.Since(began) != 60*ms {
				t.Errorf("%s: %v after %v, want two round trips", to, err, time.Since(began))
			}
			if got := a.client.Observed().Addr(); got != netip.MustParseAddr(to) {
				t.Errorf("observed at %v, want %s", got, to)
			}
			if s := w.sn.Stats(); s.Handshakes != before.Handshakes || s.Moves != before.Moves+1 {
				t.Errorf("stats %+v, before %+v", s, before)
			}
			time.Sleep(time.Minute)
			if got := a.stateLog(); !slices.Equal(got, []snclient.State{snclient.Online, snclient.Online}) {
				t.Errorf("states %v: want online, and online once more elsewhere", got)
			}
		})
	}
}

// A device that was offline before its network came is back three round trips later,
// whatever it was doing.
func TestRehomeFromOffline(t *testing.T) {
	for _, gap := range []time.Duration{40 * time.Second, 41 * time.Second, 43 * time.Second, 47 * time.Second, 10 * time.Minute} {
		inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
			a := w.roamer(1, "198.51.100.1", 15*ms)
			w.named(a)
			a.start()
			a.host.RemoveAddr(netip.MustParseAddr("198.51.100.1"))
			time.Sleep(gap)
			netsim.Must(w.net.Connect(a.host, w.core, netsim.LinkConfig{Delay: 15 * ms}, "2001:db8:7::7"))
			a.client.Rehome()
			began := time.Now()
			if err := a.client.WaitOnline(t.Context()); err != nil || time.Since(began) != 90*ms {
				t.Errorf("after %v: %v after %v, want three round trips", gap, err, time.Since(began))
			}
		})
	}
}

// After a change of network a lost SN is missed within about a second.
func TestRehomeWithoutServer(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		time.Sleep(time.Minute)
		w.snLink.SetDown(true)
		a.client.Rehome()
		time.Sleep(1001 * ms)
		synctest.Wait()
		if s := a.client.State(); s != snclient.Offline {
			t.Errorf("%v a second after", s)
		}
		time.Sleep(time.Minute)
		w.snLink.SetDown(false)
		a.client.Rehome()
		ctx, cancel := context.WithTimeout(t.Context(), 61*ms)
		defer cancel()
		if err := a.client.WaitOnline(ctx); err != nil {
			t.Errorf("two round trips after the SN has come back: %v", err)
		}
	})
}

// What is asked of an SN that has just died fails soon, and the SN is known to be dead then.
func TestUnansweredRequestChecks(t *testing.T) {
	inWorld(t, sn.Limits{}, func(t *testing.T, w *world) {
		a := w.newNode(1, "198.51.100.1", 15*ms).start()
		time.Sleep(time.Second)
		w.snLink.SetDown(true)
		began := time.Now()
		_, err := a.client.Lookup(t.Context(), a.id())
		if !errors.Is(err, snclient.ErrOffline) || time.Since(began) > 2500*ms {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if s := a.client.State(); s != snclient.Offline {
			t.Errorf("state %v", s)
		}
	})
}
