package pionnet_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/netsim/pionnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a host behind a NAT of its own, with an ICE agent.
type site struct {
	agent      *ice.Agent
	candidates []ice.Candidate
}

// drawSite draws a host behind a NAT and starts an agent on it.
func drawSite(t *testing.T, n *netsim.Network, core *netsim.Router, name string, nat netsim.NATConfig, wan, lan string) *site {
	t.Helper()
	box, host := n.NAT(name+"-box", nat), n.Host(name)
	netsim.Must(n.Connect(box, core, netsim.LinkConfig{Delay: 20 * time.Millisecond}, wan))
	netsim.Must(n.Connect(host, box, netsim.LinkConfig{Delay: time.Millisecond}, lan))
	uri, err := stun.ParseURI("stun:stun.example.net:3478")
	if err != nil {
		t.Fatal(err)
	}
	agent, err := ice.NewAgentWithOptions(
		ice.WithNet(pionnet.New(host)),
		ice.WithUrls([]*stun.URI{uri}),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
	)
	if err != nil {
		t.Fatal(err)
	}
	return &site{agent: agent}
}

// gather collects the candidates of an agent.
func (s *site) gather(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	var once sync.Once
	err := s.agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			once.Do(func() { close(done) })
			return
		}
		s.candidates = append(s.candidates, c)
	})
	if err == nil {
		err = s.agent.GatherCandidates()
	}
	if err != nil {
		t.Fatal(err)
	}
	<-done
}

// serveSTUN answers binding requests until c is closed.
func serveSTUN(c net.PacketConn) {
	b := make([]byte, 1500)
	for {
		k, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		req := &stun.Message{Raw: append([]byte(nil), b[:k]...)}
		if req.Decode() != nil || req.Type != stun.BindingRequest {
			continue
		}
		at := from.(*net.UDPAddr)
		resp, err := stun.Build(req, stun.BindingSuccess, &stun.XORMappedAddress{IP: at.IP, Port: at.Port}, stun.Fingerprint)
		if err == nil {
			c.WriteTo(resp.Raw, from)
		}
	}
}

// connect has two sites find each other, in virtual time.
func connect(t *testing.T, natA, natB netsim.NATConfig, f func(t *testing.T, a, b *site, ca, cb *ice.Conn, err error)) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{Seed: 1})
		defer n.Close()
		core, server := n.Router("internet"), n.Host("stun")
		netsim.Must(n.Connect(server, core, netsim.LinkConfig{Delay: 5 * time.Millisecond}, "203.0.113.1"))
		n.SetName("stun.example.net", netip.MustParseAddr("203.0.113.1"))
		go serveSTUN(netsim.Must(server.ListenPacket("udp4", ":3478")))

		a := drawSite(t, n, core, "a", natA, "198.51.100.7", "198.18.1.2/24")
		b := drawSite(t, n, core, "b", natB, "198.51.100.8", "198.18.2.2/24")
		for _, s := range []*site{a, b} {
			defer s.agent.Close()
			s.gather(t)
		}
		for _, p := range [][2]*site{{a, b}, {b, a}} {
			for _, c := range p[0].candidates {
				if err := p[1].agent.AddRemoteCandidate(c); err != nil {
					t.Fatal(err)
				}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ufragA, pwdA, err := a.agent.GetLocalUserCredentials()
		if err != nil {
			t.Fatal(err)
		}
		ufragB, pwdB, err := b.agent.GetLocalUserCredentials()
		if err != nil {
			t.Fatal(err)
		}
		var ca, cb *ice.Conn
		var errA, errB error
		var wg sync.WaitGroup
		wg.Go(func() { ca, errA = a.agent.Dial(ctx, ufragB, pwdB) })
		wg.Go(func() { cb, errB = b.agent.Accept(ctx, ufragA, pwdA) })
		wg.Wait()
		f(t, a, b, ca, cb, errors.Join(errA, errB))
	})
}

// TestICE: pion/ice, as it is, punches its way between two hosts behind NATs, where that
// can be done without a relay: unless a NAT maps by destination and the other filters by
// port, so that neither knows where the other's packets will come from.
func TestICE(t *testing.T) {
	for _, c := range []struct {
		name     string
		natA     netsim.NATConfig
		natB     netsim.NATConfig
		connects bool
	}{
		{"port-restricted both", netsim.PortRestricted, netsim.PortRestricted, true},
		{"symmetric and full cone", netsim.Symmetric, netsim.FullCone, true},
		{"symmetric and restricted", netsim.Symmetric, netsim.RestrictedCone, true},
		{"symmetric and port-restricted", netsim.Symmetric, netsim.PortRestricted, false},
		{"symmetric both", netsim.Symmetric, netsim.Symmetric, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			connect(t, c.natA, c.natB, func(t *testing.T, a, b *site, ca, cb *ice.Conn, err error) {
				if !c.connects {
					if err == nil || ca != nil || cb != nil {
						t.Errorf("connected (%v, %v, %v), want a failure", ca, cb, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				talk(t, a, ca, cb)
			})
		})
	}
}

// talk sends from a to b, and expects that it goes by b's NAT.
func talk(t *testing.T, a *site, ca, cb *ice.Conn) {
	t.Helper()
	if _, err := ca.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	k, err := cb.Read(buf)
	if err != nil || string(buf[:k]) != "ping" {
		t.Fatalf("read %q, %v", buf[:k], err)
	}
	pair, err := a.agent.GetSelectedCandidatePair()
	if err != nil || pair == nil {
		t.Fatalf("no pair: %v", err)
	}
	if got := pair.Remote.Address(); got != "198.51.100.8" {
		t.Errorf("a talks to %s (%v), want b's NAT", got, pair)
	}
}
