package underlay

import (
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// zones is the process's table of scoped IPv6 zones. Package net keeps one
// too, but does not show it.
var zones zoneCache

const (
	zoneMaxAge  = time.Minute // of an entry that is there: interfaces are renamed and replaced
	zoneRetryIn = time.Second // before an entry that was not there is looked for again
)

// A zoneCache translates between the names and the indexes of interfaces
// without a system call a packet. It is read through an immutable snapshot,
// which may be built twice if two goroutines find it stale.
type zoneCache struct {
	table atomic.Pointer[zoneTable]
}

type zoneTable struct {
	built time.Time
	name  map[int]string
	index map[string]int
}

// nameOf returns the zone of an interface index: its name, or the number if
// there is no such interface (any more).
func (z *zoneCache) nameOf(index int) string {
	t := z.load(zoneMaxAge)
	name, ok := t.name[index]
	if !ok {
		name, ok = z.load(zoneRetryIn).name[index]
	}
	if !ok {
		return strconv.Itoa(index)
	}
	return name
}

// indexOf returns the interface index of a zone, which may be a number, or 0,
// which leaves the choice to the kernel.
func (z *zoneCache) indexOf(zone string) int {
	if zone == "" {
		return 0
	}
	t := z.load(zoneMaxAge)
	index, ok := t.index[zone]
	if !ok {
		index, ok = z.load(zoneRetryIn).index[zone]
	}
	if !ok {
		index, _ = strconv.Atoi(zone)
	}
	return index
}

// load returns a table that is not older than maxAge, or the latest if the
// interfaces cannot be listed.
func (z *zoneCache) load(maxAge time.Duration) *zoneTable {
	old := z.table.Load()
	if old != nil && time.Since(old.built) < maxAge {
		return old
	}
	t := &zoneTable{built: time.Now(), name: map[int]string{}, index: map[string]int{}}
	list, err := net.Interfaces()
	if err != nil && old != nil {
		return old
	}
	for _, ifi := range list {
		t.name[ifi.Index] = ifi.Name
		t.index[ifi.Name] = ifi.Index
	}
	z.table.Store(t)
	return t
}
