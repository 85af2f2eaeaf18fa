package session

import "testing"

// What begins a session is known by its first five bytes, wherever in the run.
func TestBegins(t *testing.T) {
	initial := []byte{0xc3, 0, 0, 0, 1, 8}
	handshake := []byte{0xe3, 0, 0, 0, 1, 8}
	short := []byte{0x43, 0, 0, 0, 1, 8}
	version2 := []byte{0xc3, 0x6b, 0x33, 0x43, 0xcf, 8}
	join := func(list ...[]byte) (b []byte) {
		for _, p := range list {
			b = append(b, p...)
		}
		return b
	}
	for _, c := range []struct {
		name    string
		run     []byte
		segment int
		want    bool
	}{
		{"initial", initial, 0, true},
		{"handshake", handshake, 0, false},
		{"short header", short, 0, false},
		{"another version", version2, 0, false},
		{"cut", initial[:4], 0, false},
		{"nothing", nil, 0, false},
		{"last of a run", join(short, handshake, initial), 6, true},
		{"within a packet", join(short, initial), 12, false},
		{"short last", join(short, initial[:5]), 6, true},
	} {
		if got := Begins(c.run, c.segment); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
