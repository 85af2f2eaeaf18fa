package peer

import (
	"fmt"
	"slices"
	"testing"
)

// A listSink keeps what it is given.
type listSink struct{ got []string }

func (s *listSink) Deliver(b []byte, segmentSize int, ecn uint8) {
	s.got = append(s.got, fmt.Sprintf("%s/%d/%d", b, segmentSize, ecn))
}

func TestEarlySinkHoldsInOrder(t *testing.T) {
	var e earlySink
	b := []byte("a")
	e.Deliver(b, 1, 2)
	b[0] = 'x' // the reader's buffer is used again
	e.Deliver([]byte("b"), 3, 0)
	var to listSink
	e.release(&to)
	e.Deliver([]byte("c"), 4, 1)
	if want := []string{"a/1/2", "b/3/0", "c/4/1"}; !slices.Equal(to.got, want) {
		t.Errorf("delivered %q, want %q", to.got, want)
	}
}

func TestEarlySinkIsBounded(t *testing.T) {
	for name, size := range map[string]int{"many": 1, "large": maxEarlyBytes/3 + 1} {
		t.Run(name, func(t *testing.T) {
			var e earlySink
			for range 1000 {
				e.Deliver(make([]byte, size), 0, 0)
			}
			var to listSink
			e.release(&to)
			if want := min(maxEarlyPackets, maxEarlyBytes/size); len(to.got) != want {
				t.Errorf("%d held, want %d", len(to.got), want)
			}
		})
	}
}

// While there is a session it gets what comes, once.
func TestEarlySinkLeavesTheLiveSessionItsPackets(t *testing.T) {
	for _, goesOn := range []bool{false, true} {
		var live, next listSink
		e := earlySink{live: &live}
		if e.heir() != &live {
			t.Error("the live session is not the heir")
		}
		e.Deliver([]byte("a"), 0, 0)
		if goesOn {
			e.release(&live)
		} else {
			e.release(&next)
		}
		e.Deliver([]byte("b"), 0, 0)
		if goesOn && (!slices.Equal(live.got, []string{"a/0/0", "b/0/0"}) || next.got != nil) {
			t.Errorf("goes on: live %q, next %q", live.got, next.got)
		}
		if !goesOn && (!slices.Equal(live.got, []string{"a/0/0"}) || !slices.Equal(next.got, []string{"a/0/0", "b/0/0"})) {
			t.Errorf("a new session: live %q, next %q", live.got, next.got)
		}
	}
	var live listSink
	e := earlySink{live: &live}
	e.forget(&live)
	e.Deliver([]byte("a"), 0, 0)
	if live.got != nil || e.heir() != nil {
		t.Errorf("an ended session was given %q", live.got)
	}
}
