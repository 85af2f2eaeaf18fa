package sn

import (
	"math"
	"os"
	"testing"

	"github.com/bdtnet/bdt/internal/vault"
	"github.com/bdtnet/bdt/internal/wire"
)

// A device may count from where it likes; that must not make its record one that
// cannot be read, which would have the file set aside.
func TestHighCountersAreKept(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		if err := d.assoc.Advance(math.MaxInt64, 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			d.register(wire.VisibleEveryone)
		}
		r.restart()
		if n := r.s.Stats().Restored; n != 1 {
			t.Errorf("%d devices restored", n)
		}
		if _, err := os.Stat(r.config.State + asideSuffix); err == nil {
			t.Error("the file was set aside")
		}
	})
}

// A record of nonsense costs nothing behind it, in its table or another.
func TestNonsenseCostsNothingElse(t *testing.T) {
	for _, table := range []string{tableBeats, tableDevices, tableObjects} {
		t.Run(table, func(t *testing.T) {
			withState(t, func(t *testing.T, r *rig) {
				d, gone := r.online(1), r.online(2)
				gone.send(&wire.Goodbye{})
				if err := r.s.Close(); err != nil {
					t.Fatal(err)
				}
				v := r.vault(stateVersion)
				err := v.Write([]vault.Change{{Table: table, Key: []byte{0}, Value: []byte("nonsense")}})
				if err != nil {
					t.Fatal(err)
				}
				v.Close()
				r.begin()
				if _, ok := r.s.devices.peer(d.id()); !ok {
					t.Error("the device is lost")
				}
				if n := r.s.Stats().Objects; n != 1 {
					t.Errorf("%d objects", n)
				}
			})
		})
	}
}
