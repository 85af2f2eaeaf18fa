package pn

import (
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// TestOlderOwner: an older object of an owner, put back by mistake, does not admit whom a newer one
// has revoked, as long as the server runs and lists the owner.
func TestOlderOwner(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		secret := identity.SecretFromSeed([32]byte{99})
		until := uint64(time.Now().Add(time.Hour).UnixMilli())
		old, err := identity.NewPeople(secret, identity.PeopleDesc{}, identity.PeopleBody{Updated: 1, ValidUntil: until})
		if err != nil {
			t.Fatal(err)
		}
		d, err := identity.NewDevice(newLocal(t, 1).Secret, identity.DeviceDesc{Owner: old.ID()}, identity.DeviceBody{Updated: 1000})
		if err != nil {
			t.Fatal(err)
		}
		a, err := old.Approve(secret, d)
		if err != nil {
			t.Fatal(err)
		}
		member, err := (&identity.LocalDevice{Secret: newLocal(t, 1).Secret, Device: d}).Accept(a, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		newer, err := identity.NewPeople(secret, old.Desc(), identity.PeopleBody{Updated: 2, ValidUntil: until, Revoked: []identity.ID{d.ID()}})
		if err != nil {
			t.Fatal(err)
		}
		v := visitor{d.ID(), old.ID(), member.Device.Bytes()}
		for _, c := range []struct {
			name   string
			owners []*identity.People
			want   bool
		}{
			{"old", []*identity.People{old}, true},
			{"newer", []*identity.People{newer}, false},
			{"old again", []*identity.People{old}, false},
			{"both", []*identity.People{newer, old}, false},
			{"none", nil, false},
		} {
			cfg := r.s.cfg
			cfg.Admission = Admission{Owners: c.owners, Tokens: true}
			if _, err := r.s.Reload(cfg); err != nil {
				t.Fatal(err)
			}
			if _, got := r.s.settings.Load().admits.admit(v, nil, time.Now()); got != c.want {
				t.Errorf("%s: admitted %v", c.name, got)
			}
		}
	})
}
