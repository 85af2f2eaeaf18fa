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
