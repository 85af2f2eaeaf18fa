package flagvalue

import "testing"

// FuzzParseAddrPort: an address that is read is written, and read alike.
func FuzzParseAddrPort(f *testing.F) {
	for _, s := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80", "[fe80::1%eth0]:80", ":80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddrPort(s)
		if err != nil {
			return
		}
		if again, err := parseAddrPort(a.String()); err != nil || again != a {
			t.Fatalf("%q read as %v, and that as %v: %v", s, a, again, err)
		}
	})
}
