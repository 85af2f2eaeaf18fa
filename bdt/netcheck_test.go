package bdt_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

func TestNetCheck(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.dualStack("alice", "198.51.100.7", "2001:db8:7::2"), func(c *bdt.Config) {
			c.Visibility = bdt.VisibleToZone
			c.Endpoints = []netip.AddrPort{netip.MustParseAddrPort("198.51.100.7:7000")}
		})
		defer alice.Close()
		time.Sleep(time.Second) // for the mappings
		start := time.Now()
		r, err := alice.NetCheck(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 4*time.Second || r.Took != took || r.Time.Compare(start) != 0 {
			t.Errorf("took %v, and says %v from %v", took, r.Took, r.Time)
		}
		if r.UDP.Value != "yes" || !r.IPv4.Works || !r.IPv6.Works {
			t.Errorf("UDP %+v, IPv4 %+v, IPv6 %+v", r.UDP, r.IPv4, r.IPv6)
		}
		// The SN has one address and two ports.
		if r.IPv4.Mapping.Value != "unknown" || r.IPv4.Filtering.Value != "address-and-port-dependent" || r.IPv4.PortPreservation.Value != "yes" {
			t.Errorf("IPv4 %+v", r.IPv4)
		}
		if r.IPv6.Mapping.Value != "none" || r.IPv6.Hairpin.Value != "none" {
			t.Errorf("IPv6 %+v", r.IPv6)
		}
		global4, global6 := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8:7::2")
		if r.IPv4.Global != global4 || r.IPv6.Global != global6 || len(r.IPv4.Local) != 1 || r.IPv4.Local[0] != netip.MustParseAddr("198.18.1.2") {
			t.Errorf("global %v, %v, local %v", r.IPv4.Global, r.IPv6.Global, r.IPv4.Local)
		}
		const rtt = 42 * time.Millisecond // 2 × (1 + 10 + 10) ms
		if len(r.SNs) != 1 || r.SNs[0].State != "online" || r.SNs[0].IPv4.RTT != rtt || r.SNs[0].IPv6.RTT != rtt || r.SNs[0].IPv4.Ports != 2 {
			t.Errorf("SNs %+v", r.SNs)
		}
		if r.Visibility != "zone" || len(r.Candidates) < 3 || r.Candidates[0] != (bdt.NetCandidate{Kind: "configured", Addr: netip.MustParseAddrPort("198.51.100.7:7000")}) {
			t.Errorf("%s may see %+v", r.Visibility, r.Candidates)
		}
		testReportJSON(t, r)
	})
}

// The report's JSON names what scripts look for.
func testReportJSON(t *testing.T, r *bdt.NetReport) {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Took float64 `json:"took_ms"`
		UDP  struct{ Value string }
		IPv4 struct{ Mapping struct{ Value, Why string } }
		SNs  []struct {
			SN   string
			IPv4 struct {
				RTT  float64 `json:"rtt_ms"`
				Addr string
			}
		}
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Took <= 0 || got.UDP.Value != "yes" || got.IPv4.Mapping.Why == "" || got.SNs[0].SN != r.SNs[0].Ref.String() ||
		got.SNs[0].IPv4.RTT != 42 || got.SNs[0].IPv4.Addr != "203.0.113.1:8443" {
		t.Errorf("%s", b)
	}
	var back bdt.NetReport
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(b) || back.SNs[0] != r.SNs[0] {
		t.Errorf("%s came back as %s, %v", b, again, err)
	}
	if strings.Contains(string(b), `"RTT"`) || strings.Contains(string(b), `"Took"`) {
		t.Errorf("%s", b)
	}
}

// A second SN names what one alone cannot.
func TestNetCheckTwoSNs(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		host := w.net.Host("sn2")
		netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: 20 * time.Millisecond}, "203.0.113.65", "2001:db8:65::1"))
		second := w.openSN(host, newDevice(t, "sn2"))
		defer second.Close()
		ref := identity.Ref{ID: second.Ref().ID, Addr: "203.0.113.65:8443"}
		r, err := bdt.CheckNetwork(t.Context(), bdt.Config{
			SNs:     []identity.Ref{w.ref, ref},
			Network: w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.7"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.IPv4.Mapping.Value != "endpoint-independent" || r.IPv4.Filtering.Value != "address-and-port-dependent" || r.IPv4.Hairpin.Value != "no" {
			t.Errorf("%+v", r.IPv4)
		}
		if r.SNs[0].State != "online" || r.SNs[1].State != "online" || r.Visibility != "everyone" || len(r.Candidates) == 0 {
			t.Errorf("%+v", r)
		}
		if r.IPv6.Works || r.IPv6.Mapping.Value != "unknown" {
			t.Errorf("IPv6 without any: %+v", r.IPv6)
		}
	})
}

// Something answers where the SN should be, but it is another.
func TestNetCheckWrongSN(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		stranger := identity.Ref{ID: newDevice(t, "nobody").Device.ID(), Addr: "203.0.113.1:8443"}
		r, err := bdt.CheckNetwork(t.Context(), bdt.Config{
			SNs:     []identity.Ref{stranger, {ID: w.ref.ID, Addr: "nowhere.example:1"}},
			Network: w.public("alice", time.Millisecond, "198.51.100.7"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.UDP.Value != "yes" || r.SNs[0].State != "offline" || r.SNs[0].IPv4.RTT == 0 {
			t.Errorf("%+v, %+v", r.UDP, r.SNs[0])
		}
		if !strings.Contains(r.SNs[1].Error, "nowhere.example") || r.SNs[1].IPv4.Addr.IsValid() {
			t.Errorf("%+v", r.SNs[1])
		}
		if r.Took > 5*time.Second {
			t.Errorf("took %v", r.Took)
		}
	})
}

func TestNetCheckUDPBlocked(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		host := w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.7")
		w.cutter("alice")(true)
		r, err := bdt.CheckNetwork(t.Context(), bdt.Config{SNs: []identity.Ref{{ID: w.ref.ID, Addr: "203.0.113.1:8443"}}, Network: host})
		if err != nil {
			t.Fatal(err)
		}
		if r.UDP.Value != "no" || r.UDP.Why == "" || r.SNs[0].State != "offline" || r.SNs[0].IPv4.RTT != 0 || !r.SNs[0].IPv4.Addr.IsValid() {
			t.Errorf("%+v, %+v", r.UDP, r.SNs[0])
		}
		if r, err := bdt.CheckNetwork(t.Context(), bdt.Config{Network: host}); err != nil || r.UDP.Value != "unknown" {
			t.Errorf("without an SN: %+v, %v", r, err)
		}
	})
}

func TestNetCheckEnds(t *testing.T) {
	inVirtualTime(t, time.Second, func(t *testing.T, w *world) {
		s := w.open("alice", w.public("alice", time.Second, "198.51.100.7"))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		took := elapsed(func() {
			if r, err := s.NetCheck(ctx); err != nil || r.IPv4.Mapping.Value != "unknown" {
				t.Errorf("%+v, %v", r, err)
			}
		})
		if took != 300*time.Millisecond {
			t.Errorf("took %v beyond its context", took)
		}
		// Closing the stack ends a check that goes on.
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.NetCheck(context.Background()) // whatever it found
		}()
		time.Sleep(100 * time.Millisecond)
		s.Close()
		if took := elapsed(func() { <-done }); took > 0 {
			t.Errorf("went on for %v", took)
		}
		if _, err := s.NetCheck(t.Context()); !errors.Is(err, bdt.ErrClosed) {
			t.Errorf("on a closed stack: %v", err)
		}
	})
}

// Behind a NAT64 an SN that has IPv4 only is reached over IPv6, which is said.
func TestNetCheckNAT64(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		cfg := bdt.Config{Network: w.phone("alice")}
		literal(w)(&cfg)
		r, err := bdt.CheckNetwork(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !r.IPv6.Works || !r.IPv6.NAT64 || r.IPv6.Global != netip.MustParseAddr("198.51.100.64") || r.IPv4.Works || r.UDP.Value != "yes" {
			t.Errorf("IPv4 %+v, IPv6 %+v", r.IPv4, r.IPv6)
		}
		if r.IPv6.Filtering.Value != "address-and-port-dependent" || r.IPv6.Mapping.Value != "unknown" || r.IPv6.Hairpin.Value != "unknown" {
			t.Errorf("IPv6 %+v", r.IPv6)
		}
		if r.SNs[0].State != "online" || r.SNs[0].IPv6.Ports != 2 {
			t.Errorf("%+v", r.SNs[0])
		}
		// With an SN that has IPv6, too, that family is what is described.
		cfg.SNs = append(cfg.SNs, identity.Ref{ID: w.ref.ID, Addr: "[2001:db8::1]:8443"})
		if r, err = bdt.CheckNetwork(t.Context(), cfg); err != nil || r.IPv6.NAT64 || r.IPv6.Mapping.Value != "none" {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
