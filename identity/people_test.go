package identity

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func parsePeopleError(b []byte) error {
	_, err := ParsePeople(b)
	return err
}

// fullPeople returns an owner with an OOD and two revocations.
func fullPeople(t testing.TB) *People {
	body := testPeopleBody()
	body.OODs = []ID{testDevice(t).ID()}
	body.Revoked = []ID{mustID(t, TypeDevice, "stolen"), mustID(t, TypeDevice, "lost")}
	return testPeople(t, body)
}

// The golden bytes have the same source as those of TestDeviceGolden.
func TestPeopleGolden(t *testing.T) {
	p, raw := fullPeople(t), golden(t, "people.hex")
	if !bytes.Equal(p.Bytes(), raw) {
		t.Errorf("people encodes as %x", p.Bytes())
	}
	if got, want := p.ID().String(), "5r4MYfFd2jahoTbdhVgmX7udk4YgHtBtt94CZSJ2vokH"; got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	parsed, err := ParsePeople(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parsed, p) {
		t.Errorf("parsed %+v, want %+v", parsed, p)
	}
	if parsed.Name() != "alice" || !parsed.ValidUntil().Equal(testTime.Add(time.Second)) || !slices.Equal(parsed.OODs(), []ID{testDevice(t).ID()}) {
		t.Errorf("body %+v", parsed.Body())
	}
	if !parsed.Revoked(mustID(t, TypeDevice, "lost")) || !parsed.Revoked(mustID(t, TypeDevice, "stolen")) || parsed.Revoked(testDevice(t).ID()) {
		t.Error("wrong devices are revoked")
	}
	if parsed.SigningKey() != testSecret(1).SigningKey() || parsed.Area() != (Area{}) || parsed.Desc().UniqueID != [16]byte{1} {
		t.Errorf("desc %+v", parsed.Desc())
	}
}

func TestPeopleDamage(t *testing.T) {
	checkDamage(t, golden(t, "people.hex"), parsePeopleError)
}

// The largest owner there can be is well below MaxPeopleSize.
func TestPeopleLargest(t *testing.T) {
	body := testPeopleBody()
	body.Name = strings.Repeat("n", MaxName)
	for i := range MaxOODs {
		body.OODs = append(body.OODs, mustID(t, TypeDevice, fmt.Sprint("ood", i)))
	}
	for i := range MaxRevoked {
		body.Revoked = append(body.Revoked, mustID(t, TypeDevice, fmt.Sprint("lost", i)))
	}
	p := testPeople(t, body)
	parsed, err := ParsePeople(p.Bytes())
	if err != nil || !reflect.DeepEqual(parsed, p) {
		t.Errorf("largest owner does not survive, error %v", err)
	}
	wantError(t, parsePeopleError(make([]byte, MaxPeopleSize+1)), ErrTooLarge)

	body.Revoked = append(body.Revoked, mustID(t, TypeDevice, "one more"))
	_, err = NewPeople(testSecret(1), PeopleDesc{}, body)
	wantError(t, err, ErrTooLarge)
}

func TestPeopleRules(t *testing.T) {
	lost, kept := mustID(t, TypeDevice, "lost"), mustID(t, TypeDevice, "kept")
	tests := []struct {
		name   string
		change func(*wirePeopleBody)
		want   error
	}{
		{"unchanged", func(*wirePeopleBody) {}, nil},
		{"no update time", func(b *wirePeopleBody) { b.Updated = 0 }, ErrMalformed},
		{"no validity", func(b *wirePeopleBody) { b.ValidUntil = 0 }, ErrMalformed},
		{"late validity", func(b *wirePeopleBody) { b.ValidUntil = maxTime + 1 }, ErrMalformed},
		{"never valid", func(b *wirePeopleBody) { b.ValidUntil = b.Updated }, ErrMalformed},
		{"long name", func(b *wirePeopleBody) { b.Name = strings.Repeat("n", MaxName+1) }, ErrTooLarge},
		{"OOD twice", func(b *wirePeopleBody) { b.OODs = []ID{kept, kept} }, ErrMalformed},
		{"OOD is a file", func(b *wirePeopleBody) { b.OODs = []ID{mustID(t, TypeFile, "")} }, ErrWrongType},
		{"17 OODs", func(b *wirePeopleBody) {
			for i := range MaxOODs + 1 {
				b.OODs = append(b.OODs, mustID(t, TypeDevice, fmt.Sprint(i)))
			}
		}, ErrTooLarge},
		{"OOD revoked", func(b *wirePeopleBody) { b.OODs, b.Revoked = []ID{kept, lost}, []ID{lost} }, ErrMalformed},
		{"people revoked", func(b *wirePeopleBody) { b.Revoked = []ID{mustID(t, TypePeople, "")} }, ErrWrongType},
		{"zero id revoked", func(b *wirePeopleBody) { b.Revoked = make([]ID, 1) }, ErrWrongType},
		{"revoked twice", func(b *wirePeopleBody) { b.Revoked = []ID{lost, lost} }, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := testSecret(1)
			desc := wirePeopleDesc{wireType: wireType{TypePeople}, SigningKey: s.SigningKey()}
			w := wirePeopleBody{Updated: 1, ValidUntil: 2}
			tt.change(&w)
			err := parsePeopleError(forge(t, s, encode(t, desc), encode(t, w)))
			_, made := NewPeople(s, PeopleDesc{}, PeopleBody{w.Updated, w.ValidUntil, w.Name, w.OODs, w.Revoked})
			for _, err := range []error{err, made} {
				if tt.want != nil || err != nil {
					wantError(t, err, tt.want)
				}
			}
		})
	}

	// Only a parser can meet revocations out of order: NewPeople sorts.
	unsorted := []ID{lost, kept}
	slices.SortFunc(unsorted, func(a, b ID) int { return b.Compare(a) })
	desc := wirePeopleDesc{wireType: wireType{TypePeople}, SigningKey: testSecret(1).SigningKey()}
	raw := forge(t, testSecret(1), encode(t, desc), encode(t, wirePeopleBody{Updated: 1, ValidUntil: 2, Revoked: unsorted}))
	wantError(t, parsePeopleError(raw), ErrNotCanonical)

	for want, desc := range map[error]wirePeopleDesc{
		ErrMalformed: {wireType: wireType{TypePeople}},
		ErrWrongType: {wireType: wireType{TypeDevice}, SigningKey: testSecret(1).SigningKey()},
		ErrSignature: {wireType: wireType{TypePeople}, SigningKey: testSecret(2).SigningKey()},
	} {
		wantError(t, parsePeopleError(forge(t, testSecret(1), encode(t, desc), encode(t, wirePeopleBody{Updated: 1, ValidUntil: 2}))), want)
	}
	wide := wirePeopleDesc{wireType: wireType{TypePeople}, SigningKey: testSecret(1).SigningKey(), Area: 1 << 34}
	wantError(t, parsePeopleError(forge(t, testSecret(1), encode(t, wide), encode(t, wirePeopleBody{Updated: 1, ValidUntil: 2}))), ErrMalformed)
	_, err := NewPeople(testSecret(1), PeopleDesc{Area: Area{City: 8192}}, testPeopleBody())
	wantError(t, err, ErrMalformed)
}

func TestPeopleUpdate(t *testing.T) {
	p := fullPeople(t)
	body := p.Body()
	_, err := p.Update(testSecret(1), body)
	wantError(t, err, ErrRolledBack)
	body.Updated = p.NextUpdate(testTime)
	_, err = p.Update(testSecret(2), body)
	wantError(t, err, ErrKeyMismatch)

	body.Revoked = append(body.Revoked, mustID(t, TypeDevice, "sold"))
	next, err := p.Update(testSecret(1), body)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID() != p.ID() || next.Updated() != testStamp+1 || !next.Revoked(mustID(t, TypeDevice, "sold")) {
		t.Errorf("updated to %+v", next)
	}
	clear(next.OODs())
	clear(next.Body().OODs)
	clear(next.Body().Revoked)
	if next.OODs()[0].IsZero() || !next.Revoked(mustID(t, TypeDevice, "sold")) {
		t.Error("what an owner hands out is its own memory")
	}
}

// Membership fails closed: every way of not being a member has its error.
func TestMember(t *testing.T) {
	d := testDevice(t)
	owner := testPeople(t, testPeopleBody())
	if err := owner.Member(d, testTime); err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseDevice(d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Member(parsed, testTime.Add(999*time.Millisecond)); err != nil {
		t.Errorf("a moment before expiry: %v", err)
	}
	wantError(t, owner.Member(d, testTime.Add(time.Second)), ErrExpired)

	revoking := testPeopleBody()
	revoking.Revoked = []ID{d.ID()}
	wantError(t, testPeople(t, revoking).Member(d, testTime), ErrRevoked)

	stranger, err := NewPeople(testSecret(7), PeopleDesc{}, testPeopleBody())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, stranger.Member(d, testTime), ErrOwnerMismatch)
	wantError(t, (*People)(nil).Member(d, testTime), ErrOwnerMismatch)
	wantError(t, owner.Member(nil, testTime), ErrOwnerMismatch)

	// Devices that say they belong to owner.
	claim := func(d *Device, membership []byte) *Device {
		t.Helper()
		d, err := newDevice(testSecret(2), d.desc, d.body, membership)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	wantError(t, owner.Member(claim(d, nil), testTime), ErrNoMembership)
	wantError(t, owner.Member(claim(d, make([]byte, signatureLen)), testTime), ErrSignature)
	self := testSecret(2).Sign(membershipMessage(d))
	wantError(t, owner.Member(claim(d, self), testTime), ErrSignature)
	// A membership counts for one desc only, even of the same key.
	sibling := &Device{desc: d.desc, body: d.body}
	sibling.desc.UniqueID[0]++
	wantError(t, owner.Member(claim(sibling, d.membership), testTime), ErrSignature)
}

func TestSignMembership(t *testing.T) {
	d := testDevice(t)
	owner := testPeople(t, testPeopleBody())
	_, err := owner.SignMembership(testSecret(2), d)
	wantError(t, err, ErrKeyMismatch)

	free, err := NewDevice(testSecret(2), DeviceDesc{}, DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = owner.SignMembership(testSecret(1), free)
	wantError(t, err, ErrOwnerMismatch)

	revoking := testPeopleBody()
	revoking.Revoked = []ID{d.ID()}
	_, err = testPeople(t, revoking).SignMembership(testSecret(1), d)
	wantError(t, err, ErrRevoked)
}

func TestJoinRefuses(t *testing.T) {
	d := testDevice(t)
	owner := testPeople(t, testPeopleBody())
	_, err := d.Join(testSecret(2), owner, make([]byte, signatureLen), testStamp+1)
	wantError(t, err, ErrSignature)
	_, err = d.Join(testSecret(2), owner, nil, testStamp+1)
	wantError(t, err, ErrNoMembership)
	_, err = d.Join(testSecret(2), owner, d.membership, testStamp)
	wantError(t, err, ErrRolledBack)
	_, err = d.Join(testSecret(1), owner, d.membership, testStamp+1)
	wantError(t, err, ErrKeyMismatch)
}

// See FuzzParseDevice.
func FuzzParsePeople(f *testing.F) {
	env, err := openEnvelope(golden(f, "people.hex"), MaxPeopleSize)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(env.raw)
	f.Add(env.Body)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, raw := range [][]byte{b, forge(t, testSecret(1), env.Desc, b)} {
			p, err := ParsePeople(raw)
			if err != nil {
				continue
			}
			again, err := NewPeople(testSecret(1), p.desc, p.body)
			if err != nil || !reflect.DeepEqual(again, p) || !bytes.Equal(p.Bytes(), raw) || len(raw) > MaxPeopleSize {
				t.Errorf("%x parsed as %+v, made anew %+v, error %v", raw, p, again, err)
			}
		}
	})
}
