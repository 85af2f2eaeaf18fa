package path

import (
	"testing"
	"time"
)

// LogSince gives each line once to whoever asks often enough, and what is left
// to who does not.
func TestLogSince(t *testing.T) {
	s := New(Config{})
	if lines, n := s.LogSince(0); len(lines) != 0 || n != 0 {
		t.Fatalf("%d lines of an empty record, %d in all", len(lines), n)
	}
	add := func(k int) {
		for range k {
			s.log.add(Entry{Time: time.Unix(int64(s.log.n), 0)})
		}
	}
	add(3)
	lines, n := s.LogSince(0)
	if len(lines) != 3 || n != 3 || lines[0].Time.Unix() != 0 {
		t.Errorf("%d lines from %v, %d in all", len(lines), lines[0].Time, n)
	}
	add(2)
	lines, n = s.LogSince(n)
	if len(lines) != 2 || n != 5 || lines[0].Time.Unix() != 3 {
		t.Errorf("%d lines from %v, %d in all", len(lines), lines[0].Time, n)
	}
	add(2 * maxLog)
	if lines, n = s.LogSince(n); len(lines) != maxLog || n != 5+2*maxLog {
		t.Errorf("%d lines, %d in all, after the record has turned over", len(lines), n)
	}
}
