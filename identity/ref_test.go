package identity

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	id := mustID(t, TypeDevice, "sn")
	long := strings.Repeat("a", 63)
	name253 := strings.Join([]string{long, long, long, long[:61]}, ".")
	tests := []struct {
		in, want string // the address; want empty: as in
	}{
		{"sn1.example.net:4433", ""},
		{"SN1.Example.NET:4433", "sn1.example.net:4433"},
		{"localhost:1", ""},
		{"3com.example:65535", ""},
		{"_sn.example:0080", "_sn.example:80"},
		{"192.0.2.1:4433", ""},
		{"[2001:db8::1]:4433", ""},
		{"[2001:DB8:0::1]:4433", "[2001:db8::1]:4433"},
		{name253 + ":65535", ""},
	}
	for _, tt := range tests {
		want := tt.want
		if want == "" {
			want = tt.in
		}
		ref, err := ParseRef(id.String() + "@" + tt.in)
		if err != nil || ref != (Ref{id, want}) {
			t.Errorf("%s: parsed as %v, error %v", tt.in, ref, err)
		}
		if ref.String() != id.String()+"@"+want {
			t.Errorf("%s: prints as %v", tt.in, ref)
		}
		if err := ref.check(); err != nil {
			t.Errorf("%s: check: %v", tt.in, err)
		}
	}
}

func TestParseRefRefuses(t *testing.T) {
	id := mustID(t, TypeDevice, "sn").String()
	for _, addr := range []string{
		"", "sn1.example.net", "sn1.example.net:", ":4433", "sn1.example.net:0", "sn1.example.net:65536",
		"sn1.example.net:+80", "sn1.example.net:http", "sn1.example.net:80:80", "sn1.example.net.:80", "sn 1:80", "-sn:80", "sn-:80",
		"a..b:80", strings.Repeat("a", 64) + ":80", "1.2.3:80", "256.0.0.1:80", "2001:db8::1:80", "[2001:db8::1]", "[sn1]:80",
		"[fe80::1%eth0]:80", "0.0.0.0:80", "[::]:80", "224.0.0.1:80", "[ff02::1]:80", "255.255.255.255:80", "[::ffff:192.0.2.1]:80",
		"192.0.2.1:0", strings.Repeat("a.", 126) + "aa:80", "sn\u00e9.example:80",
	} {
		if ref, err := ParseRef(id + "@" + addr); err == nil {
			t.Errorf("%q: accepted as %v", addr, ref)
		} else {
			wantError(t, err, ErrMalformed)
		}
	}
	for in, want := range map[string]error{
		"sn1.example.net:80":                                  ErrMalformed, // no id
		"x@sn1.example.net:80":                                ErrMalformed,
		id + "@" + id + "@192.0.2.1:1":                        ErrMalformed,
		mustID(t, TypePeople, "p").String() + "@192.0.2.1:80": ErrWrongType,
		id + "@" + strings.Repeat("a", maxAddr+1):             ErrTooLarge,
		strings.Repeat("a", maxAddr+46):                       ErrTooLarge,
	} {
		_, err := ParseRef(in)
		wantError(t, err, want)
	}
}

func TestRefAddrPort(t *testing.T) {
	if ap, ok := mustRef(t, "sn", "[2001:db8::1]:80").AddrPort(); !ok || ap != netip.MustParseAddrPort("[2001:db8::1]:80") {
		t.Errorf("address %v, %v", ap, ok)
	}
	if ap, ok := mustRef(t, "sn", "sn1.example.net:80").AddrPort(); ok {
		t.Errorf("a name has address %v", ap)
	}
}

// A Ref made by hand is held to the form that NewRef produces.
func TestRefCheck(t *testing.T) {
	wantError(t, Ref{mustID(t, TypeDevice, "sn"), "SN:80"}.check(), ErrNotCanonical)
	wantError(t, Ref{mustID(t, TypeDevice, "sn"), "sn"}.check(), ErrMalformed)
	wantError(t, Ref{ID{}, "sn:80"}.check(), ErrWrongType)
	wantError(t, Ref{ID{0: byte(TypeDevice) << 2}, "sn:80"}.check(), ErrWrongType)
}
