package noise

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
)

// tableShards divides the locks of a Table: lookups come from each socket reader,
// for every control packet.
const tableShards = 64

// DefaultTable is how many indices a [Table] gives out unless told otherwise.
const DefaultTable = 1 << 20

// A Table gives out receiver indices, random so that they cannot be guessed, and
// maps them to their owners. It is bounded and safe for concurrent use.
type Table[T any] struct {
	limit  int // of each shard
	shards [tableShards]tableShard[T]
}

type tableShard[T any] struct {
	mu     sync.RWMutex
	owners map[uint32]T
}

// NewTable returns a Table of about limit indices, DefaultTable if 0.
func NewTable[T any](limit int) *Table[T] {
	if limit == 0 {
		limit = DefaultTable
	}
	t := &Table[T]{limit: (limit + tableShards - 1) / tableShards}
	for i := range t.shards {
		t.shards[i].owners = make(map[uint32]T)
	}
	return t
}

func (t *Table[T]) shard(index uint32) *tableShard[T] { return &t.shards[index%tableShards] }

// Alloc returns an unused index, never 0, that belongs to owner until Free. It
// fails with ErrFull.
func (t *Table[T]) Alloc(owner T) (uint32, error) {
	// A shard that is full stands for a table that nearly is: indices are random.
	for range tableShards {
		var b [4]byte
		rand.Read(b[:])
		index := binary.BigEndian.Uint32(b[:])
		if index != 0 && t.shard(index).add(t.limit, index, owner) {
			return index, nil
		}
	}
	return 0, ErrFull
}

// Restore gives out a certain index, and reports whether it was free.
func (t *Table[T]) Restore(index uint32, owner T) bool {
	return index != 0 && t.shard(index).add(t.limit, index, owner)
}

func (s *tableShard[T]) add(limit int, index uint32, owner T) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.owners[index]; used || len(s.owners) >= limit {
		return false
	}
	s.owners[index] = owner
	return true
}

// Get returns the owner of index.
func (t *Table[T]) Get(index uint32) (T, bool) {
	s := t.shard(index)
	s.mu.RLock()
	defer s.mu.RUnlock()
	owner, ok := s.owners[index]
	return owner, ok
}

// Free gives index back. Freeing one that is not given out does nothing.
func (t *Table[T]) Free(index uint32) {
	s := t.shard(index)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, index)
}

// Len returns how many indices are given out.
func (t *Table[T]) Len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.RLock()
		n += len(s.owners)
		s.mu.RUnlock()
	}
	return n
}

// Part returns the owners of one of so many parts of the table, for going through it by
// and by: part i of parts, of which there are at most 64.
func (t *Table[T]) Part(i, parts int) (list []T) {
	for ; i < tableShards; i += parts {
		s := &t.shards[i]
		s.mu.RLock()
		for _, owner := range s.owners {
			list = append(list, owner)
		}
		s.mu.RUnlock()
	}
	return list
}

// For returns the Indices of one owner.
func (t *Table[T]) For(owner T) Indices { return ownIndices[T]{t, owner} }

type ownIndices[T any] struct {
	table *Table[T]
	owner T
}

func (o ownIndices[T]) Alloc() (uint32, error) { return o.table.Alloc(o.owner) }
func (o ownIndices[T]) Free(index uint32)      { o.table.Free(index) }
