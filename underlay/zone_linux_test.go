package underlay

import (
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestZones(t *testing.T) {
	list, err := net.Interfaces()
	if err != nil || len(list) == 0 {
		t.Fatal("no interfaces", err)
	}
	var z zoneCache
	const nobody = 1 << 30
	for _, ifi := range list {
		if got := z.nameOf(ifi.Index); got != ifi.Name {
			t.Errorf("nameOf(%d) = %q, want %q", ifi.Index, got, ifi.Name)
		}
		for _, zone := range []string{ifi.Name, strconv.Itoa(ifi.Index)} {
			if got := z.indexOf(zone); got != ifi.Index {
				t.Errorf("indexOf(%q) = %d, want %d", zone, got, ifi.Index)
			}
		}
	}
	if got := z.nameOf(nobody); got != strconv.Itoa(nobody) {
		t.Errorf("nameOf(%d) = %q", nobody, got)
	}
	for zone, want := range map[string]int{"": 0, "no such interface": 0} {
		if got := z.indexOf(zone); got != want {
			t.Errorf("indexOf(%q) = %d, want %d", zone, got, want)
		}
	}
}

// A table is built again when it is old, or when something is missing and it
// is not brand-new.
func TestZonesRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var z zoneCache
		stale := &zoneTable{built: time.Now(), name: map[int]string{7: "old"}, index: map[string]int{"old": 7}}
		z.table.Store(stale)
		z.nameOf(1 << 30)
		if z.table.Load() != stale {
			t.Error("a flood of unknown zones lists the interfaces each time")
		}
		time.Sleep(zoneRetryIn)
		if got := z.indexOf("old"); got != 7 || z.table.Load() != stale {
			t.Errorf("indexOf = %d: a young table was replaced", got)
		}
		z.indexOf("new")
		if z.table.Load() == stale {
			t.Error("a new interface is not looked for")
		}
		z.table.Store(&zoneTable{built: time.Now(), name: stale.name, index: stale.index})
		time.Sleep(zoneMaxAge)
		if got := z.nameOf(7); got == "old" {
			t.Error("a renamed interface keeps its name")
		}
	})
}
