package sn

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func numberedID(n int) (id identity.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func TestDirectoryIsBounded(t *testing.T) {
	d := newDirectory(640)
	for i := range 5000 {
		if _, err := d.put(numberedID(i), object{1, []byte{1}}, 1, time.Duration(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.len(); n != 640 {
		t.Errorf("%d objects, want a full table of 640", n)
	}
	// What expires first goes first: the newest are mostly there.
	held := 0
	for i := 4800; i < 5000; i++ {
		if d.get(numberedID(i), 5000).bytes != nil {
			held++
		}
	}
	if held < 190 {
		t.Errorf("%d of the newest 200 objects are held", held)
	}
}

func TestDirectoryKeepsTheNewest(t *testing.T) {
	d := newDirectory(10)
	id := numberedID(1)
	for _, c := range []struct {
		updated uint64
		b       string
		refused bool
	}{
		{5, "five", false}, {5, "five", false}, {5, "other five", true}, {4, "four", true}, {6, "six", false},
	} {
		_, err := d.put(id, object{c.updated, []byte(c.b)}, 1, 0)
		if errors.Is(err, identity.ErrRolledBack) != c.refused || err != nil != c.refused {
			t.Errorf("putting %q: %v", c.b, err)
		}
	}
	if got := string(d.get(id, 0).bytes); got != "six" {
		t.Errorf("holds %q", got)
	}
	// An expired one stands in nobody's way.
	if _, err := d.put(id, object{1, []byte("one")}, 1, objectLife); err != nil {
		t.Error(err)
	}
	if got := string(d.take(id, objectLife).bytes); got != "one" {
		t.Errorf("took %q", got)
	}
	if got := d.take(id, objectLife); got.bytes != nil || d.len() != 0 {
		t.Errorf("took %q a second time", got.bytes)
	}
}

func TestDirectorySweep(t *testing.T) {
	d := newDirectory(1000)
	for i := range 100 {
		d.put(numberedID(i), object{1, []byte{1}}, 1, time.Duration(i))
	}
	for i := range directoryShards {
		d.sweep(i, objectLife+49)
	}
	if n := d.len(); n != 50 {
		t.Errorf("%d objects after 50 expired", n)
	}
	if d.take(numberedID(20), 0).bytes != nil || d.get(numberedID(99), objectLife+100).bytes != nil {
		t.Error("an expired object is found")
	}
}

// What finds no room costs nobody theirs.
func TestDirectoryWithoutRoom(t *testing.T) {
	d := newDirectory(4 * directoryShards)
	put := func(n int, o object) error {
		var id identity.ID
		id[0] = byte(n)
		for i := uint64(0); d.shard(id) != &d.shards[0]; i++ {
			binary.BigEndian.PutUint64(id[1:], i)
		}
		_, err := d.put(id, o, network(n), 0)
		return err
	}
	for n := range 4 {
		if err := put(n, object{1, []byte("small")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(4, object{1, make([]byte, 5*wire.MaxObject)}); err != errFull {
		t.Errorf("got %v, want errFull", err)
	}
	if n, used := d.len(), d.quota.Len(); n != 4 || used != 4 {
		t.Errorf("%d objects left, in %d places", n, used)
	}
}
