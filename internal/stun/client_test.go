package stun

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// What the server half answers, the client half reads.
func TestExchange(t *testing.T) {
	for _, text := range []string{"198.51.100.7:4000", "[2001:db8::7]:65535"} {
		addr := netip.MustParseAddrPort(text)
		id := NewTransactionID()
		request := AppendRequest([]byte("kept"), id)
		if !bytes.HasPrefix(request, []byte("kept")) {
			t.Fatal("AppendRequest does not append")
		}
		got, mapped, err := ParseResponse(AppendAnswer(nil, request[4:], addr))
		if err != nil || got != id || mapped != addr {
			t.Errorf("%v: id %x, mapped %v, err %v", addr, got, mapped, err)
		}
	}
}

func TestParseResponseRefuses(t *testing.T) {
	id := NewTransactionID()
	answer := AppendAnswer(nil, AppendRequest(nil, id), from)
	for n := range answer {
		if _, _, err := ParseResponse(answer[:n]); err == nil {
			t.Errorf("cut at %d is accepted", n)
		}
	}
	port0 := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: []byte{192, 0, 2, 1}})
	for name, b := range map[string][]byte{
		"a request":      AppendRequest(nil, id),
		"an error":       stun.MustBuild(stun.TransactionID, stun.BindingError).Raw,
		"no address":     stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"port 0":         port0.Raw,
		"something else": []byte("something else that is long enough to be a header"),
	} {
		if _, _, err := ParseResponse(b); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add(AppendAnswer(nil, AppendRequest(nil, TransactionID{1}), from))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, mapped, err := ParseResponse(b)
		if err == nil && (!mapped.IsValid() || mapped.Port() == 0 || mapped.Addr().Is4In6()) {
			t.Errorf("mapped address %v", mapped)
		}
	})
}

func FuzzAppendAnswer(f *testing.F) {
	f.Add(AppendRequest(nil, TransactionID{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ans := AppendAnswer(nil, b, from); len(ans) > len(b)+44 {
			t.Errorf("%d bytes earned %d", len(b), len(ans))
		}
	})
}
