package main

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// fresh makes a device of an owner's zone, or of none.
func fresh(t *testing.T, owner string) *identity.Device {
	t.Helper()
	d, err := newIdentity{owner: owner}.newDevice(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return d.Device
}

// Only members of one's own zone are trusted, as long as its owner's word
// counts.
func TestInZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		owners := make([]string, 2)
		for i, name := range []string{"mine.pem", "other.pem"} {
			owners[i] = filepath.Join(dir, name)
			if _, err := (newIdentity{people: true, out: owners[i], valid: time.Hour}).make(time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		mine, err := loadOwner(owners[0])
		if err != nil {
			t.Fatal(err)
		}
		self, friend, foreign, loner := fresh(t, owners[0]), fresh(t, owners[0]), fresh(t, owners[1]), fresh(t, "")
		trusted := inZone(self, mine)
		check := func(when string, d *identity.Device, in func(*identity.Device) bool, want bool) {
			t.Helper()
			if got := in(d); got != want {
				t.Errorf("%s: trusted %v, want %v", when, got, want)
			}
		}
		check("friend", friend, trusted, true)
		check("device of another zone", foreign, trusted, false)
		check("device of no zone", loner, trusted, false)
		check("without an owner", friend, inZone(self, nil), false)
		check("from outside", friend, inZone(loner, mine), false)
		time.Sleep(time.Hour)
		check("friend when the owner has expired", friend, trusted, false)
	})
}
