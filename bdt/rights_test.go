package bdt_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

func TestRights(t *testing.T) {
	for r, want := range map[bdt.Rights]string{
		0:                          "none",
		bdt.MayCall:                "call",
		bdt.MayRead | bdt.MayWrite: "read,write",
		bdt.AllRights:              "call,read,write",
	} {
		if got := r.String(); got != want {
			t.Errorf("%d is %q, want %q", r, got, want)
		}
	}
	if !bdt.AllRights.Has(bdt.MayRead) || bdt.MayRead.Has(bdt.AllRights) || !bdt.MayRead.Has(0) {
		t.Error("Has does not ask for all of them")
	}
}

// What a policy text grants to somebody whom this device knows nothing about but
// the key.
func TestParseAccess(t *testing.T) {
	stranger := newDevice(t, "stranger").Device
	other := newDevice(t, "other").Device
	owner := newZone(t, time.Hour).people.ID()
	caller := bdt.Caller{Device: stranger}
	me := stranger.ID().String()
	for text, want := range map[string]bdt.Rights{
		"everyone":                           bdt.AllRights,
		"everyone:r":                         bdt.MayRead,
		"everyone:wc":                        bdt.MayCall | bdt.MayWrite,
		" everyone:r , everyone:w ":          bdt.MayRead | bdt.MayWrite,
		"zone":                               0,
		"friends":                            0,
		"nobody":                             0,
		"zone,friends,everyone:c":            bdt.MayCall,
		me:                                   bdt.AllRights,
		me + ":rw":                           bdt.MayRead | bdt.MayWrite,
		other.ID().String():                  0,
		other.ID().String() + "," + me:       bdt.AllRights,
		owner.String():                       0,
		owner.String() + ":w,everyone:r":     bdt.MayRead,
		strings.Repeat("zone,", 99) + "zone": 0,
	} {
		a, err := bdt.ParseAccess(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := a(caller); got != want {
			t.Errorf("%q grants %v, want %v", text, got, want)
		}
	}
	for text, part := range map[string]string{
		"":                                       "nobody is named",
		",":                                      "nobody is named",
		"zone,":                                  "nobody is named",
		":r":                                     "nobody is named",
		"Everyone":                               "nor an id",
		"zone friends":                           "nor an id",
		"everyone:":                              "no right is named",
		"everyone:x":                             `"x" is no right`,
		"everyone:rr":                            "twice",
		"everyone:r:w":                           `":" is no right`,
		"nobody,zone":                            "stands alone",
		"nobody:r":                               "stands alone",
		me + "x":                                 "nor an id",
		chunk(t).String():                        "not of a device",
		identity.ID{}.String():                   "nor an id",
		strings.Repeat("zone,", 20_000) + "zone": "at most",
	} {
		if a, err := bdt.ParseAccess(text); err == nil || a != nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.60q: %v, want one that says %q", text, err, part)
		}
	}
}

func chunk(t *testing.T) identity.ID { return identity.ChunkID([]byte(t.Name())) }

// A policy that comes of a text grants a caller without any standing only what
// the text says in plain words.
func FuzzParseAccess(f *testing.F) {
	for _, s := range []string{"", "zone", "everyone:cr,zone", "nobody", "friends:w," + identity.ID{0x44}.String()} {
		f.Add(s)
	}
	stranger := newDevice(f, "stranger").Device
	f.Fuzz(func(t *testing.T, s string) {
		a, err := bdt.ParseAccess(s)
		if (a == nil) != (err != nil) {
			t.Fatalf("policy %v, error %v", a != nil, err)
		}
		if err != nil {
			return
		}
		if r := a(bdt.Caller{}); r != 0 && !strings.Contains(s, "everyone") {
			t.Errorf("%q grants %v to nobody", s, r)
		}
		if r := a(bdt.Caller{Device: stranger}); r&^bdt.AllRights != 0 || r != 0 && !strings.Contains(s, "everyone") {
			t.Errorf("%q grants %v to a stranger", s, r)
		}
	})
}

func TestCombinedAccess(t *testing.T) {
	everyone, friend := bdt.Access(bdt.Everyone), newDevice(t, "friend").Device
	caller := bdt.Caller{Device: friend}
	for name, c := range map[string]struct {
		access bdt.Access
		want   bdt.Rights
	}{
		"limited":              {everyone.Limit(bdt.MayRead), bdt.MayRead},
		"limited twice":        {everyone.Limit(bdt.MayRead).Limit(bdt.MayWrite), 0},
		"the default, limited": {bdt.Access(nil).Limit(bdt.AllRights), 0},
		"any of none":          {bdt.AnyOf(), 0},
		"any of some":          {bdt.AnyOf(bdt.Nobody, everyone.Limit(bdt.MayCall), bdt.Only(friend.ID()).Limit(bdt.MayWrite)), bdt.MayCall | bdt.MayWrite},
		"any of the default":   {bdt.AnyOf(nil, bdt.Nobody), 0},
		"only nobody":          {bdt.Only(), 0},
		"only the zero id":     {bdt.Only(identity.ID{}), 0},
		"more than there is":   {bdt.AnyOf(func(bdt.Caller) bdt.Rights { return 0xff }), bdt.AllRights},
	} {
		if got := c.access(caller); got != c.want {
			t.Errorf("%s grants %v, want %v", name, got, c.want)
		}
	}
	ids := []identity.ID{friend.ID()}
	only := bdt.Only(ids...)
	ids[0] = identity.ID{}
	if only(caller) == 0 {
		t.Error("a policy keeps the caller's slice")
	}
}
