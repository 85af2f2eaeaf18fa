package sn

import (
	"math"
	"os"
	"testing"
	"time"

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

// A device that fell silent while the server was down is forgotten as it is
// otherwise: its descriptor stays.
func TestDescriptorsOutliveAnOutage(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * silence)
		r.begin()
		if _, ok := r.s.devices.peer(d.id()); ok {
			t.Fatal("still registered")
		}
		time.Sleep(1100 * time.Millisecond)
		r.crash()
		if r.s.object(d.id(), time.Since(r.s.start)) == nil {
			t.Error("the descriptor is lost")
		}
		time.Sleep(objectLife)
		r.restart()
		if n := r.s.Stats().Objects; n != 0 {
			t.Errorf("%d objects after a day", n)
		}
	})
}

// What finds no room in the directory of the next run does not stay in the file.
func TestNoRoomForKeptObjects(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		for i := range 3 * directoryShards {
			if err := r.s.store(numberedID(i), object{1, []byte("an object")}, 1, 0); err != nil {
				t.Fatal(err)
			}
		}
		r.config.Limits.Objects = directoryShards
		r.restart()
		held := r.s.Stats().Objects
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		v := r.vault(stateVersion)
		defer v.Close()
		kept := 0
		if err := v.Each(tableObjects, func(_, _ []byte) error { kept++; return nil }); err != nil {
			t.Fatal(err)
		}
		if held > directoryShards || kept != held {
			t.Errorf("%d objects, %d in the file", held, kept)
		}
	})
}
