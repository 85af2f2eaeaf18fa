package sn

import (
	"slices"
	"testing"
	"time"
)

func TestLine(t *testing.T) {
	l := line[int]{delay: 10}
	if _, ok := l.next(); ok || l.len() != 0 {
		t.Error("an empty line has a next item")
	}
	if _, ok := l.take(time.Hour); ok {
		t.Error("an empty line gave something")
	}
	// Two for each that is taken, so that the line moves within its memory.
	put, want := 0, 0
	for now := time.Duration(0); now < 1000; now++ {
		if first := l.put(now, put); first != (l.len() == 1) {
			t.Fatalf("at %d: put says first: %v", now, first)
		}
		put++
		for {
			due, some := l.next()
			v, ok := l.take(now)
			if !ok {
				if some && due <= now {
					t.Fatalf("at %d: item due at %d is not given", now, due)
				}
				break
			}
			if v != want || due != time.Duration(v)+10 {
				t.Fatalf("at %d: took %d due at %d, want %d", now, v, due, want)
			}
			want++
		}
	}
	if l.len() != 10 || cap(l.items) > 64 {
		t.Errorf("%d items in the room of %d", l.len(), cap(l.items))
	}
	var rest []int
	for {
		v, ok := l.take(2000)
		if !ok {
			break
		}
		rest = append(rest, v)
	}
	if !slices.IsSorted(rest) || len(rest) != 10 || l.len() != 0 {
		t.Errorf("the rest is %v", rest)
	}
}

func TestLineKeepsOrderWhenTheClockIsReadOutOfOrder(t *testing.T) {
	l := line[string]{delay: 10}
	l.put(5, "a")
	l.put(3, "b")
	if v, ok := l.take(14); ok {
		t.Errorf("took %q before its time", v)
	}
	for _, want := range []string{"a", "b"} {
		if v, ok := l.take(15); !ok || v != want {
			t.Errorf("took %q, want %q", v, want)
		}
	}
}
