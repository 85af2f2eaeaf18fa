package noise

import (
	"errors"
	"sync"
	"testing"
)

func TestTable(t *testing.T) {
	table := NewTable[string](0)
	a, err := table.Alloc("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := table.For("b").Alloc()
	if err != nil {
		t.Fatal(err)
	}
	if a == 0 || b == 0 || a == b {
		t.Errorf("indices %d and %d", a, b)
	}
	for index, want := range map[uint32]string{a: "a", b: "b"} {
		if got, ok := table.Get(index); !ok || got != want {
			t.Errorf("owner of %d is %q, %v", index, got, ok)
		}
	}
	table.For("b").Free(b)
	table.Free(b)
	if _, ok := table.Get(b); ok {
		t.Error("owner of a freed index")
	}
	if table.Len() != 1 {
		t.Errorf("%d indices in use", table.Len())
	}
}

func TestTableFull(t *testing.T) {
	const limit = 3 * tableShards
	table := NewTable[int](limit)
	var indices []uint32
	for {
		index, err := table.Alloc(0)
		if err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		indices = append(indices, index)
	}
	// One attempt in tableShards finds room while one shard of them has any.
	if n := len(indices); n > limit || n < limit*3/4 {
		t.Errorf("%d indices given out, limit %d", n, limit)
	}
	for _, index := range indices {
		table.Free(index)
	}
	if table.Len() != 0 {
		t.Errorf("%d indices left", table.Len())
	}
	if _, err := table.Alloc(0); err != nil {
		t.Errorf("after all are free: %v", err)
	}
}

func TestTableConcurrently(t *testing.T) {
	table := NewTable[int](0)
	var wg sync.WaitGroup
	for owner := range 4 {
		wg.Go(func() {
			indices := table.For(owner)
			for range 1000 {
				index, err := indices.Alloc()
				if err != nil {
					t.Error(err)
					return
				}
				if got, ok := table.Get(index); !ok || got != owner {
					t.Errorf("owner %d, %v, want %d", got, ok, owner)
				}
				indices.Free(index)
			}
		})
	}
	wg.Wait()
	if table.Len() != 0 {
		t.Errorf("%d indices left", table.Len())
	}
}
