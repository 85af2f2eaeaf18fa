package netsim

import "testing"

// FuzzParsePrefix: what is taken for the address of a node can be one.
func FuzzParsePrefix(f *testing.F) {
	for _, s := range []string{"198.51.100.1", "198.51.100.1/24", "2001:db8::1/64", "fe80::1%eth0", "::ffff:1.2.3.4", "0.0.0.0/0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePrefix(s)
		if err != nil {
			return
		}
		if a := p.Addr(); !p.IsValid() || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			t.Fatalf("%q is taken for %v", s, p)
		}
	})
}
