package identity

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

// claimant returns a device that names testPeople as its owner, and that is not a
// member yet.
func claimant(t testing.TB) *LocalDevice {
	t.Helper()
	owner := testPeople(t, testPeopleBody())
	d, err := NewDevice(testSecret(2), DeviceDesc{Owner: owner.ID()}, DeviceBody{Updated: testStamp, Name: "phone"})
	if err != nil {
		t.Fatal(err)
	}
	return &LocalDevice{testSecret(2), d}
}

// A device asks, its owner answers, and the device is a member: both texts survive
// being wrapped by a mail program.
func TestEnrol(t *testing.T) {
	wrap := func(s string) string {
		var lines []string
		for len(s) > 60 {
			lines, s = append(lines, s[:60]), s[60:]
		}
		return " " + strings.Join(append(lines, s), "\r\n\t") + "\n"
	}
	owner, l := testPeople(t, testPeopleBody()), claimant(t)
	asked, err := ParseRequest(wrap(FormatRequest(l.Device)))
	if err != nil || !bytes.Equal(asked.Bytes(), l.Device.Bytes()) {
		t.Fatalf("request of %v, %v", asked, err)
	}
	a, err := owner.Approve(testSecret(1), asked)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseApproval(wrap(a.String()))
	if err != nil || got.String() != a.String() {
		t.Fatalf("approval %v, %v", got, err)
	}
	joined, err := l.Accept(got, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Member(joined.Device, testTime); err != nil || joined.Device.ID() != l.Device.ID() {
		t.Errorf("accepted as %v: %v", joined.Device, err)
	}
	if again, err := joined.Accept(got, testTime); err != nil || again.Device.Updated() <= joined.Device.Updated() {
		t.Errorf("accepted once more: %v", err)
	}
}

func TestApproveRefuses(t *testing.T) {
	owner, l := testPeople(t, testPeopleBody()), claimant(t)
	_, err := owner.Approve(testSecret(2), l.Device)
	wantError(t, err, ErrKeyMismatch)
	body := testPeopleBody()
	body.Revoked = []ID{l.Device.ID()}
	_, err = testPeople(t, body).Approve(testSecret(1), l.Device)
	wantError(t, err, ErrRevoked)
}

func TestAcceptRefuses(t *testing.T) {
	owner, l := testPeople(t, testPeopleBody()), claimant(t)
	good, err := owner.Approve(testSecret(1), l.Device)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewPeople(testSecret(7), PeopleDesc{}, testPeopleBody())
	if err != nil {
		t.Fatal(err)
	}
	body := testPeopleBody()
	body.Updated++
	body.Revoked = []ID{l.Device.ID()}
	revoking, err := owner.Update(testSecret(1), body)
	if err != nil {
		t.Fatal(err)
	}
	signed := bytes.Clone(good.Membership)
	signed[5] ^= 1
	for name, c := range map[string]struct {
		approval Approval
		now      time.Time
		cause    error
	}{
		"another device's": {Approval{mustID(t, TypeDevice, "other"), good.Membership, owner}, testTime, ErrWrongID},
		"another owner's":  {Approval{l.Device.ID(), good.Membership, other}, testTime, ErrOwnerMismatch},
		"a damaged one":    {Approval{l.Device.ID(), signed, owner}, testTime, ErrSignature},
		"a revoked device": {Approval{l.Device.ID(), good.Membership, revoking}, testTime, ErrRevoked},
		"an owner too old": {good, testTime.Add(time.Hour), ErrExpired},
	} {
		if got, err := l.Accept(c.approval, c.now); !errors.Is(err, c.cause) || got != nil {
			t.Errorf("%s: %v, want %v", name, err, c.cause)
		}
	}
}

func TestEnrolTextsRefuse(t *testing.T) {
	owner, l := testPeople(t, testPeopleBody()), claimant(t)
	free, err := NewDevice(testSecret(2), DeviceDesc{}, DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	a, err := owner.Approve(testSecret(1), l.Device)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	request, approval := FormatRequest(l.Device), a.String()
	pack := func(w wireApproval) string { return approvalScheme + b64(encode(t, w)) }
	for name, c := range map[string]struct {
		text  string
		cause error
	}{
		"nothing":             {"", ErrMalformed},
		"an approval":         {approval, ErrMalformed},
		"no scheme":           {strings.TrimPrefix(request, requestScheme), ErrMalformed},
		"half":                {request[:len(request)/2], ErrTruncated},
		"not base64":          {request + "*", ErrMalformed},
		"an owner":            {requestScheme + b64(owner.Bytes()), ErrWrongType},
		"no owner's device":   {FormatRequest(free), ErrOwnerMismatch},
		"more than fits":      {requestScheme + strings.Repeat("A", 800), ErrTooLarge},
		"something behind it": {request + "AAAA", ErrNotCanonical},
	} {
		if d, err := ParseRequest(c.text); !errors.Is(err, c.cause) || d != nil {
			t.Errorf("request, %s: %v, want %v", name, err, c.cause)
		}
	}
	id := l.Device.ID()
	people := mustID(t, TypePeople, "p")
	for name, c := range map[string]struct {
		text  string
		cause error
	}{
		"nothing":             {"", ErrMalformed},
		"a request":           {request, ErrMalformed},
		"half":                {approval[:len(approval)/2], ErrTruncated},
		"a short id":          {pack(wireApproval{Device: id[:31], Membership: a.Membership, Owner: owner.Bytes()}), ErrMalformed},
		"a short signature":   {pack(wireApproval{Device: id[:], Membership: a.Membership[1:], Owner: owner.Bytes()}), ErrMalformed},
		"an owner's id":       {pack(wireApproval{Device: people[:], Membership: a.Membership, Owner: owner.Bytes()}), ErrWrongType},
		"a device for owner":  {pack(wireApproval{Device: id[:], Membership: a.Membership, Owner: l.Device.Bytes()}), ErrWrongType},
		"no owner":            {pack(wireApproval{Device: id[:], Membership: a.Membership}), ErrTruncated},
		"more than fits":      {approvalScheme + strings.Repeat("A", maxApproval), ErrTooLarge},
		"something behind it": {approval + "AAAA", ErrNotCanonical},
	} {
		if a, err := ParseApproval(c.text); !errors.Is(err, c.cause) || a.Owner != nil {
			t.Errorf("approval, %s: %v, want %v", name, err, c.cause)
		}
	}
	full, err := fullPeople(t).Approve(testSecret(1), claimantOf(t, fullPeople(t)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseApproval(full.String()); err != nil {
		t.Errorf("the largest approval: %v", err)
	}
}

// claimantOf returns a device that names an owner.
func claimantOf(t testing.TB, p *People) *Device {
	t.Helper()
	d, err := NewDevice(testSecret(2), DeviceDesc{Owner: p.ID()}, DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func FuzzEnrolTexts(f *testing.F) {
	owner, l := testPeople(f, testPeopleBody()), claimant(f)
	a, err := owner.Approve(testSecret(1), l.Device)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(FormatRequest(l.Device))
	f.Add(a.String())
	f.Fuzz(func(t *testing.T, s string) {
		plain := strings.Join(strings.Fields(s), "")
		if d, err := ParseRequest(s); err == nil && FormatRequest(d) != plain {
			t.Errorf("request %q comes back as %q", plain, FormatRequest(d))
		}
		if a, err := ParseApproval(s); err == nil && a.String() != plain {
			t.Errorf("approval %q comes back as %q", plain, a)
		}
		// Whatever it is, it makes nobody a member of another zone than it says.
		if a, err := ParseApproval(s); err == nil {
			if j, err := l.Accept(a, testTime); err == nil && a.Owner.Member(j.Device, testTime) != nil {
				t.Error("accepted without being a member")
			}
		}
	})
}
