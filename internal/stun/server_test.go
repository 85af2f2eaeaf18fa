package stun

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/pion/stun/v3"
)

// from is where the requests of the tests come from.
var from = netip.MustParseAddrPort("198.51.100.7:4000")

func TestAnswer(t *testing.T) {
	for _, text := range []string{"198.51.100.7:4000", "[2001:db8::7]:4000"} {
		addr := netip.MustParseAddrPort(text)
		for name, setters := range map[string][]stun.Setter{
			"bare":        {},
			"software":    {stun.NewSoftware("x")},
			"fingerprint": {stun.Fingerprint},
			"username":    {stun.NewUsername("u"), stun.NewShortTermIntegrity("p"), stun.Fingerprint},
		} {
			req := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.BindingRequest}, setters...)...)
			var ans stun.Message
			if err := stun.Decode(AppendAnswer(nil, req.Raw, addr), &ans); err != nil {
				t.Fatalf("%s from %v: %v", name, addr, err)
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(&ans); err != nil {
				t.Fatalf("%s from %v: %v", name, addr, err)
			}
			if ans.Type != stun.BindingSuccess || ans.TransactionID != req.TransactionID || mapped.String() != addr.String() {
				t.Errorf("%s from %v: %v, mapped %v", name, addr, ans.Type, mapped)
			}
			if req.Contains(stun.AttrFingerprint) != ans.Contains(stun.AttrFingerprint) {
				t.Errorf("%s: fingerprint is answered by none", name)
			}
			if ans.Contains(stun.AttrFingerprint) {
				if err := stun.Fingerprint.Check(&ans); err != nil {
					t.Error(err)
				}
			}
			if len(ans.Raw) > len(req.Raw)+36 {
				t.Errorf("%s: %d bytes earned %d", name, len(req.Raw), len(ans.Raw))
			}
		}
	}
}

// An attribute that must be understood and is not is an error (RFC 8489 §6.3.1).
func TestUnknownAttribute(t *testing.T) {
	req := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	for i := range 100 {
		req.Add(stun.AttrType(0x0100+i), nil)
	}
	var ans stun.Message
	if err := stun.Decode(AppendAnswer(nil, req.Raw, from), &ans); err != nil {
		t.Fatal(err)
	}
	var code stun.ErrorCodeAttribute
	var unknown stun.UnknownAttributes
	if err := ans.Parse(&code, &unknown); err != nil {
		t.Fatal(err)
	}
	if ans.Type != stun.BindingError || code.Code != stun.CodeUnknownAttribute || len(unknown) != 4 || unknown[0] != 0x0100 {
		t.Errorf("%v, code %v, unknown %v", ans.Type, code, unknown)
	}
}

func TestSilence(t *testing.T) {
	good := stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint).Raw
	wrong := append([]byte(nil), good...)
	wrong[len(wrong)-1] ^= 1
	long := append([]byte(nil), good...)
	binary.BigEndian.PutUint16(long[2:], 1000)
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"half a header":     good[:10],
		"wrong fingerprint": wrong,
		"wrong length":      long,
		"indication":        stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw,
		"response":          stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw,
		"allocate":          stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw,
	} {
		if ans := AppendAnswer(nil, b, from); ans != nil {
			t.Errorf("%s earned %d bytes", name, len(ans))
		}
	}
}
