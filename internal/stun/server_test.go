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
			if err := stun.Decode(answer(t, req.Raw, addr, netip.AddrPort{}, netip.AddrPort{}), &ans); err != nil {
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
	if err := stun.Decode(answer(t, req.Raw, from, from, from), &ans); err != nil {
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
		if r, ok := ParseRequest(b); ok {
			t.Errorf("%s is taken for a request: %+v", name, r)
		}
	}
}

// What RFC 5780 defines and is malformed, or asks for what no server here does,
// is not understood.
func TestUnknownQuery(t *testing.T) {
	for name, a := range map[string]stun.RawAttribute{
		"short CHANGE-REQUEST": {Type: stun.AttrChangeRequest, Value: []byte{0, 0, 6}},
		"response port 0":      {Type: stun.AttrResponsePort, Value: []byte{0, 0, 0, 0}},
		"long RESPONSE-PORT":   {Type: stun.AttrResponsePort, Value: []byte{0, 1, 0, 0, 0}},
		"PADDING":              {Type: stun.AttrPadding, Value: make([]byte, 500)},
	} {
		req := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		req.Add(a.Type, a.Value)
		r, ok := ParseRequest(req.Raw)
		if !ok || len(r.Unknown) != 1 || r.Unknown[0] != uint16(a.Type) {
			t.Errorf("%s: %+v, %v", name, r, ok)
		}
		ans, err := ParseAnswer(answer(t, req.Raw, from, from, from))
		if err != nil || ans.Refused != 420 {
			t.Errorf("%s: %+v, %v", name, ans, err)
		}
	}
	req := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	req.Add(stun.AttrResponsePort, []byte{0x12, 0x34})
	if r, ok := ParseRequest(req.Raw); !ok || r.ResponsePort != 0x1234 || len(r.Unknown) > 0 {
		t.Errorf("RESPONSE-PORT of 2 bytes: %+v, %v", r, ok)
	}
}
