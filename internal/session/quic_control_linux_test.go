package session

import "testing"

// FuzzParseControl: whatever stands in control messages, the result is one that can
// be sent.
func FuzzParseControl(f *testing.F) {
	for _, m := range ecnMessages {
		f.Add(m)
	}
	f.Add(make([]byte, 24))
	f.Fuzz(func(t *testing.T, oob []byte) {
		if segment, ecn := parseControl(oob); segment < 0 || segment > 65535 || ecn > 3 {
			t.Fatalf("segments of %d bytes, ECN %d", segment, ecn)
		}
	})
}
