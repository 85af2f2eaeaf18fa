package flagvalue_test

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/identity"
)

const someID = "5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct" // a device's

func TestServices(t *testing.T) {
	for _, tc := range []struct {
		value     pflag.Value
		set, want string // set: separated by spaces
	}{
		{new(flagvalue.Text), "a", "a"},
		{new(flagvalue.Switch), "1", "true"},
		{new(flagvalue.Duration), "90s", "1m30s"},
		{new(flagvalue.IDs), someID, someID},
		{new(flagvalue.Visibility), "nobody", "nobody"},
		{new(flagvalue.Policies), "zone web=everyone:r web=" + someID, "zone web=everyone:r web=" + someID},
		{new(flagvalue.Exposes), "web=8000 ssh=[::1]:22 x=/run/x y=unix:y", "web=127.0.0.1:8000 ssh=[::1]:22 x=unix:/run/x y=unix:y"},
		{new(flagvalue.Dirs), "pub=. a/b=C=D", "pub=. a/b=C=D"},
		{&flagvalue.Choices{From: []string{"a", "b"}}, "a,b", "a,b"},
	} {
		if err := set(tc.value, tc.set); err != nil {
			t.Errorf("%T %q: %v", tc.value, tc.set, err)
		}
		if got := tc.value.String(); got != tc.want {
			t.Errorf("%T %q is %q, want %q", tc.value, tc.set, got, tc.want)
		}
		if tc.value.Type() == "" {
			t.Errorf("%T has no type", tc.value)
		}
	}
}

func TestServicesRefused(t *testing.T) {
	for _, tc := range []struct {
		value pflag.Value
		set   []string
	}{
		{new(flagvalue.Text), []string{""}},
		{new(flagvalue.Switch), []string{"", "perhaps"}},
		{new(flagvalue.Duration), []string{"", "5", "-1s", "999ms"}},
		{new(flagvalue.IDs), []string{"", "me"}},
		{new(flagvalue.Visibility), []string{"", "friends"}},
		{new(flagvalue.Policies), []string{"", "web=", "=zone", "me", "web=zone:x", "a b=zone", "nobody,zone"}},
		{new(flagvalue.Exposes), []string{"", "web", "web=", "=1:2", "web=:0", "web=1:2:3", "web=h:99999", "web=a/b:1", "web=unix:", "web=/" + strings.Repeat("x", 103)}},
		{new(flagvalue.Dirs), []string{"", "web", "web=", "=.", "sp ace=."}},
		{&flagvalue.Choices{From: []string{"a"}}, []string{"", "b", "a,"}},
	} {
		for _, s := range tc.set {
			if err := tc.value.Set(s); err == nil {
				t.Errorf("%T takes %q", tc.value, s)
			}
		}
	}
	var p flagvalue.Policies
	if err := p.Set("web=zone"); err != nil {
		t.Fatal(err)
	}
	if err := p.Set("web=nobody"); err == nil || len(p) != 1 {
		t.Errorf("zone and nobody: %v, %v", p, err)
	}
}

func TestPoliciesFor(t *testing.T) {
	var p flagvalue.Policies
	if err := set(&p, "web=zone friends web=everyone:r"); err != nil {
		t.Fatal(err)
	}
	for service, want := range map[string]string{"web": "zone,everyone:r", "ssh": "friends"} {
		if got := p.For(service, "nobody"); got != want {
			t.Errorf("%s: %s, want %s", service, got, want)
		}
	}
	if got := (flagvalue.Policies{}).For("web", "nobody"); got != "nobody" {
		t.Errorf("otherwise: %s", got)
	}
}

func TestParsePlace(t *testing.T) {
	for s, want := range map[string]flagvalue.Place{
		"8080":           {Network: "tcp", Addr: "127.0.0.1:8080"},
		":8080":          {Network: "tcp", Addr: ":8080"},
		"localhost:0080": {Network: "tcp", Addr: "localhost:80"},
		"[::1]:0":        {Network: "tcp", Addr: "[::1]:0"},
		"/tmp/s":         {Network: "unix", Addr: "/tmp/s"},
		"unix:s":         {Network: "unix", Addr: "s"},
	} {
		if got, err := flagvalue.ParsePlace(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]string{
		someID:                                "",
		someID + "/web":                       "web",
		"bdt:" + someID:                       "",
		"bdt:" + someID + "?s=a/b":            "a/b",
		"bdt:" + someID + "/web?ep=[::1]:7":   "web",
		"bdt:" + someID + "/web?s=web":        "web",
		someID + "/a/b":                       "a/b",
		someID + "/a?sn=" + someID + "@h.x:1": "a",
	} {
		got, err := flagvalue.ParseTarget(s)
		if err != nil || got.Service != want || got.ID().String() != someID {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "/web", someID + "/", someID + "/a b", someID + "/web?s=ssh", "bdt://" + someID, identity.ChunkID(nil).String()} {
		if got, err := flagvalue.ParseTarget(s); err == nil {
			t.Errorf("%s is taken as %+v", s, got)
		}
	}
}

// What is taken can be written and read again, and policies are always policies.
func FuzzService(f *testing.F) {
	for _, s := range []string{"web=127.0.0.1:80", "web=unix:/x", "8080", "web=zone,everyone:r", someID + "/web", "bdt:" + someID + "?s=web"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := flagvalue.ParsePlace(s); err == nil {
			if again, err := flagvalue.ParsePlace(p.String()); err != nil || again != p {
				t.Errorf("place %q is written %q, which is %v, %v", s, p, again, err)
			}
		}
		var e flagvalue.Exposes
		if e.Set(s) == nil {
			var again flagvalue.Exposes
			if err := again.Set(e.String()); err != nil || again[0] != e[0] {
				t.Errorf("exposed %q is written %q: %v", s, e.String(), err)
			}
		}
		var p flagvalue.Policies
		if p.Set(s) == nil {
			if _, err := bdt.ParseAccess(p.For(p[0].Service, "")); err != nil {
				t.Errorf("policy %q: %v", s, err)
			}
		}
		if got, err := flagvalue.ParseTarget(s); err == nil {
			if got.Service != "" && flagvalue.CheckService(got.Service) != nil || got.Ticket.Check() != nil {
				t.Errorf("target %q is %+v", s, got)
			}
		}
		var d flagvalue.Dirs
		if d.Set(s) == nil && d[0].Path == "" {
			t.Errorf("directory %q", s)
		}
	})
}
