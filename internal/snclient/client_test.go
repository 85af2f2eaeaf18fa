package snclient_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/sn"
)

func TestComingOnlineTakesThreeRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sn.Limits{})
		a := w.newNode(1, "198.51.100.1", 15*time.Millisecond)
		began := time.Now()
		a.start()
		// Describe, handshake, Register.
		if took := time.Since(began); took != 90*time.Millisecond {
			t.Errorf("online after %v, want 90ms", took)
		}
		if got := a.client.Observed(); got != a.addr() {
			t.Errorf("observed %v, want %v", got, a.addr())
		}
		if got := a.client.RTT(); got != 30*time.Millisecond {
			t.Errorf("RTT %v, want 30ms", got)
		}
		if got := a.client.Server(); got == nil || got.ID() != w.snID.Device.ID() {
			t.Errorf("server %v", got)
		}
	})
}

func TestCallTakesOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sn.Limits{})
		a := w.newNode(1, "198.51.100.1", 15*time.Millisecond).start()
		b := w.newNode(2, "198.51.100.2", 40*time.Millisecond).start()
		time.Sleep(time.Second) // both have pinged: their round trips are known

		began := time.Now()
		r, err := a.client.Call(context.Background(), b.id(), snclient.CallOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 30*time.Millisecond {
			t.Errorf("reply after %v, want 30ms", took)
		}
		t.Logf("%+v", r)
		time.Sleep(time.Second)
		calls := b.calls()
		if len(calls) != 1 {
			t.Fatalf("called %d times", len(calls))
		}
		t.Logf("%+v %v", calls[0].m, calls[0].at.Sub(began))
	})
}
