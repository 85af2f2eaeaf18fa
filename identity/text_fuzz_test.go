package identity

import "testing"

// FuzzUnmarshalText: what an id is read from, it is written as.
func FuzzUnmarshalText(f *testing.F) {
	f.Add([]byte(mustID(f, TypeDevice, "d").String()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var id, again ID
		if id.UnmarshalText(b) != nil {
			return
		}
		text, err := id.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalText(text); err != nil || again != id {
			t.Fatalf("%q read as %v, and %q as %v: %v", b, id, text, again, err)
		}
	})
}
