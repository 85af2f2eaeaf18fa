package flagvalue_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/identity"
)

var (
	_ pflag.Value = (*flagvalue.Listen)(nil)
	_ pflag.Value = (*flagvalue.Endpoints)(nil)
	_ pflag.Value = (*flagvalue.Refs)(nil)
	_ pflag.Value = (*flagvalue.RelayTokens)(nil)
)

// set sets a value from words that are separated by spaces.
func set(v pflag.Value, words string) error {
	for _, w := range strings.Fields(words) {
		if err := v.Set(w); err != nil {
			return err
		}
	}
	return nil
}

func TestAccepted(t *testing.T) {
	d, err := identity.NewDevice(identity.GenerateSecret(), identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	ref := d.ID().String() + "@sn.example:8443"
	for _, tc := range []struct {
		value     pflag.Value
		set, want string
	}{
		{new(flagvalue.Listen), "", ""},
		{new(flagvalue.Listen), ":8443", "0.0.0.0:8443,[::]:8443"},
		{new(flagvalue.Listen), "127.0.0.1:0 [::1]:7", "127.0.0.1:0,[::1]:7"},
		{new(flagvalue.Listen), "[::ffff:192.0.2.1]:7", "192.0.2.1:7"},
		{new(flagvalue.Endpoints), "192.0.2.1:7 [2001:db8::1]:7", "192.0.2.1:7,[2001:db8::1]:7"},
		{new(flagvalue.Refs), ref, ref},
		{new(flagvalue.RelayTokens), "AQID-_8", "AQID-_8"},
	} {
		if err := set(tc.value, tc.set); err != nil {
			t.Errorf("%s %q: %v", tc.value.Type(), tc.set, err)
		}
		if got := tc.value.String(); got != tc.want {
			t.Errorf("%s %q is %q, want %q", tc.value.Type(), tc.set, got, tc.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		value pflag.Value
		set   string
	}{
		{new(flagvalue.Listen), "8443"},
		{new(flagvalue.Listen), ":"},
		{new(flagvalue.Listen), ":65536"},
		{new(flagvalue.Listen), ":-1"},
		{new(flagvalue.Listen), "localhost:1"},
		{new(flagvalue.Endpoints), ":8443"},
		{new(flagvalue.Endpoints), "192.0.2.1:0"},
		{new(flagvalue.Endpoints), "0.0.0.0:1"},
		{new(flagvalue.Endpoints), "224.0.0.1:1"},
		{new(flagvalue.Refs), "sn.example:8443"},
		{new(flagvalue.RelayTokens), ""},
		{new(flagvalue.RelayTokens), "no token"},
		{new(flagvalue.RelayTokens), "AQID/+8="},
	} {
		if err := tc.value.Set(tc.set); err == nil {
			t.Errorf("%s takes %q", tc.value.Type(), tc.set)
		}
		if got := tc.value.String(); got != "" {
			t.Errorf("%s keeps %q of %q", tc.value.Type(), got, tc.set)
		}
	}
}
