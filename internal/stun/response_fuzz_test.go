package stun

import (
	"net/netip"
	"testing"
)

// FuzzParseResponse: the address of a response is one that a packet can be sent to.
func FuzzParseResponse(f *testing.F) {
	request := AppendRequest(nil, TransactionID{1})
	f.Add(answer(f, request, from, netip.AddrPort{}, netip.AddrPort{}))
	f.Add(request)
	f.Fuzz(func(t *testing.T, b []byte) {
		_, addr, err := ParseResponse(b)
		if err == nil && (!addr.IsValid() || addr.Port() == 0 || addr.Addr().Is4In6()) {
			t.Fatalf("mapped address %v", addr)
		}
	})
}
