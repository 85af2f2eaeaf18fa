package snclient

import "testing"

func TestStateNames(t *testing.T) {
	for s, want := range map[State]string{Offline: "offline", Online: "online", Superseded: "superseded", Closed: "closed", 9: "unknown"} {
		if s.String() != want {
			t.Errorf("state %d is %q", s, s)
		}
	}
}
