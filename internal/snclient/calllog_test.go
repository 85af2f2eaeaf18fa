package snclient

import "testing"

func TestCallLog(t *testing.T) {
	var l callLog
	for i := range uint64(3 * callLogSize) {
		if !l.add(i) {
			t.Fatalf("call %d is taken for a repeat", i)
		}
		if l.add(i) {
			t.Fatalf("repeat of call %d is taken for new", i)
		}
		if i >= 100 && l.add(i-100) {
			t.Fatalf("repeat of call %d is taken for new after a hundred others", i-100)
		}
	}
	if len(l.ring) != callLogSize || len(l.seen) != callLogSize {
		t.Errorf("%d and %d calls are remembered, want %d", len(l.ring), len(l.seen), callLogSize)
	}
}
