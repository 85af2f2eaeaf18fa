package session

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

func replayed(r *recentPackets) (got []string) {
	r.replay(func(b []byte, ecn uint8) { got = append(got, fmt.Sprintf("%s/%d", b, ecn)) })
	return got
}

func TestRecentPackets(t *testing.T) {
	var r recentPackets
	if got := replayed(&r); got != nil {
		t.Errorf("replayed %q from nothing", got)
	}
	b := []byte("one")
	r.add(b, 0, 1)
	clear(b) // it was copied
	r.add(nil, 0, 0)
	r.add([]byte("aabbc"), 2, 2)
	if got, want := replayed(&r), []string{"one/1", "aa/2", "bb/2", "c/2"}; !slices.Equal(got, want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
	// Of a long run, and of all, the last eight.
	r.add(bytes.Repeat([]byte("x"), 20), 2, 0)
	r.add([]byte("0123456"), 1, 3)
	if got, want := replayed(&r), []string{"xx/0", "0/3", "1/3", "2/3", "3/3", "4/3", "5/3", "6/3"}; !slices.Equal(got, want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
}

// TestRecentPacketsReplayWithoutLock adds packets from within a replay.
func TestRecentPacketsReplayWithoutLock(t *testing.T) {
	var r recentPackets
	r.add([]byte("a"), 0, 0)
	r.replay(func(b []byte, _ uint8) { r.add(append(b, '2'), 0, 0) })
	if got, want := replayed(&r), []string{"a/0", "a2/0"}; !slices.Equal(got, want) {
		t.Errorf("replayed %q, want %q", got, want)
	}
}
