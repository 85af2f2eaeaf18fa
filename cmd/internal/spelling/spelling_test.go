package spelling

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"listen", "limits", "key"}
	for _, tc := range []struct{ in, want string }{
		{"lisen", "listen"},
		{"listne", "listen"},
		{"kye", "key"},
		{"limit", "limits"},
		{"kex", "key"},
		{"ke", ""},
		{"verbose", ""},
		{"", ""},
	} {
		if got := Nearest(tc.in, words); got != tc.want {
			t.Errorf("Nearest(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}
