package sn

import (
	"testing"
	"testing/synctest"
	"time"
)

// fleetSize is how many devices the tests of restarts have.
func fleetSize() int {
	if testing.Short() {
		return 100
	}
	return 1000
}

// All devices are callable, and can call, as soon as the server is back: without
// a handshake, whether it was told to stop or killed.
func TestRestart(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*fleet)
	}{
		{"stopped", (*fleet).stop},
		{"killed", (*fleet).kill},
	} {
		for _, down := range []time.Duration{0, 3 * time.Second, 60 * time.Second} {
			t.Run(test.name+" for "+down.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFleet(t, fleetSize(), true)
					time.Sleep(95 * time.Second) // pings have come, and been written down
					test.end(f)
					time.Sleep(down)
					f.start()
					if n := f.server.Stats().Restored; n != uint64(len(f.ships)) {
						t.Fatalf("%d of %d devices were restored", n, len(f.ships))
					}
					took := f.callAll(5 * time.Second)
					t.Logf("%d devices called in %v of virtual time", len(f.ships), took)
					f.await(2 * time.Minute)
					time.Sleep(time.Minute)
					st := f.server.Stats()
					if st.Devices != len(f.ships)+f.newcomers {
						t.Errorf("a minute later: %+v", st)
					}
					// Who has not noticed does not shake hands.
					if down < 5*time.Second && st.Handshakes > uint64(f.newcomers) {
						t.Errorf("%d handshakes, %d of them by newcomers", st.Handshakes, f.newcomers)
					}
				})
			})
		}
	}
}

// Devices whose server was down for a minute, and has forgotten them, come back
// spread over time: all within the longest back-off and one attempt.
func TestReturnAfterAMinute(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*fleet)
	}{
		{"stopped", (*fleet).stop}, // all are told at once
		{"killed", (*fleet).kill},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, fleetSize(), false)
				time.Sleep(60 * time.Second)
				test.end(f)
				time.Sleep(60 * time.Second)
				f.start()
				began := time.Now()
				peak, last := uint64(0), uint64(0)
				var all time.Duration
				for f.server.Stats().Devices < len(f.ships) {
					time.Sleep(time.Second)
					all = time.Since(began)
					n := f.server.Stats().Handshakes
					peak, last = max(peak, n-last), n
					if all > 66*time.Second { // the longest back-off, and an attempt
						t.Fatalf("%d of %d devices are back after %v", f.server.Stats().Devices, len(f.ships), all)
					}
				}
				t.Logf("%d devices are back after %v; at most %d handshakes in a second, %d in all", len(f.ships), all, peak, last)
				if limit := uint64(len(f.ships) / 4); peak > limit {
					t.Errorf("%d handshakes in a second, want at most %d", peak, limit)
				}
				if limit := uint64(len(f.ships)) * 11 / 10; last > limit {
					t.Errorf("%d handshakes by %d devices", last, len(f.ships))
				}
			})
		})
	}
}
