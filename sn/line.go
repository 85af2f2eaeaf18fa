package sn

import (
	"sync"
	"time"
)

// A line holds items until a fixed delay after they were put in. Since the delay
// is the same for all, they fall due in the order in which they came, and no
// heap is needed. It may be used concurrently.
type line[T any] struct {
	delay time.Duration

	mu    sync.Mutex
	items []lined[T] // from head on
	head  int
}

type lined[T any] struct {
	due  time.Duration // since the server's start
	item T
}

// put adds an item and reports whether it is the only one, hence whether the
// line falls due earlier than before.
func (l *line[T]) put(now time.Duration, item T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head > len(l.items)/2 {
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	// Readers of a clock may reach the lock in another order than the clock.
	due := now + l.delay
	if n := len(l.items); n > l.head {
		due = max(due, l.items[n-1].due)
	}
	l.items = append(l.items, lined[T]{due, item})
	return len(l.items)-l.head == 1
}

// take removes and returns the first item if it is due.
func (l *line[T]) take(now time.Duration) (item T, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.items) || l.items[l.head].due > now {
		return item, false
	}
	item = l.items[l.head].item
	l.items[l.head] = lined[T]{}
	if l.head++; l.head == len(l.items) {
		l.items, l.head = nil, 0
	}
	return item, true
}

// next returns when the first item is due; ok is false if there is none.
func (l *line[T]) next() (due time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head == len(l.items) {
		return 0, false
	}
	return l.items[l.head].due, true
}

func (l *line[T]) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items) - l.head
}
