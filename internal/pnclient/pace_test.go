package pnclient_test

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/pnclient"
)

// TestManyBindings: a device that has more bindings than the PN takes Binds at once keeps
// all of them, though it asks for all at once, and again after the PN has started anew; halves, which
// are repeated, are not given up either.
func TestManyBindings(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		const bindings, halves = 120, 100
		var legs, waiting []*leg
		for range bindings {
			tag := pnclient.NewTag()
			legs = append(legs, a.bind(tag, b.id(), true), b.bind(tag, a.id(), false))
		}
		for _, l := range legs {
			isReady(t, l)
		}
		for range halves {
			waiting = append(waiting, a.bind(pnclient.NewTag(), b.id(), true))
		}
		time.Sleep(time.Minute)
		w.pn.Close()
		w.startPN()
		time.Sleep(2 * time.Minute)
		for _, l := range append(legs, waiting...) {
			select {
			case <-l.Done():
				t.Fatalf("a binding is over: %v", l.Err())
			default:
			}
		}
		if st := w.pn.Stats(); st.Pairs != bindings+halves || st.Met != bindings || st.Limited != 0 {
			t.Errorf("%d bindings and halves, of which %d have met, with %d requests too many", st.Pairs, st.Met, st.Limited)
		}
		for i := 0; i < len(legs); i += 2 {
			hears(t, legs[i], legs[i+1])
		}
	})
}

// TestNewBeforeHalves: who has many halves, which are repeated by and by, does not wait for those
// to bind something new.
func TestNewBeforeHalves(t *testing.T) {
	inWorld(t, nil, func(t *testing.T, w *world) {
		a, b := w.newNode(1, "198.51.100.1").online(), w.newNode(2, "198.51.100.2").online()
		for range 150 {
			a.bind(pnclient.NewTag(), b.id(), true)
		}
		time.Sleep(time.Minute)
		for range 10 {
			start := time.Now()
			met(t, b, a)
			if took := time.Since(start); took > 200*time.Millisecond {
				t.Errorf("another binding took %v", took)
			}
			time.Sleep(time.Second)
		}
		if n := a.client.Bindings(); n != 160 {
			t.Errorf("%d bindings are left", n)
		}
	})
}
