package identity

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func parseDeviceError(b []byte) error {
	_, err := ParseDevice(b)
	return err
}

// The golden bytes were made from docs/spec/identity.md by a program that
// shares nothing with this one.
func TestDeviceGolden(t *testing.T) {
	d, raw := testDevice(t), golden(t, "device.hex")
	if !bytes.Equal(d.Bytes(), raw) {
		t.Errorf("device encodes as %x", d.Bytes())
	}
	if got, want := d.ID().String(), "5fCmaHXu9suQxTDKnippF9avV2KWvKseFBaGJUV1hRFk"; got != want {
		t.Errorf("id %s, want %s", got, want)
	}
	if got, want := d.String(), "device 5fCmaHXu9suQxTDKnippF9avV2KWvKseFBaGJUV1hRFk"; got != want {
		t.Errorf("prints as %q, want %q", got, want)
	}

	parsed, err := ParseDevice(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parsed, d) {
		t.Errorf("parsed %+v, want %+v", parsed, d)
	}
	if want := testDeviceBody(t); !reflect.DeepEqual(parsed.Body(), want) {
		t.Errorf("body %+v, want %+v", parsed.Body(), want)
	}
	if d.SigningKey() != testSecret(2).SigningKey() || d.NoiseKey() != testSecret(2).NoiseKey() {
		t.Error("device has keys of another secret")
	}
	if d.Owner() != d.Desc().Owner || d.Owner().Type() != TypePeople || d.Area() != d.ID().Area() || d.Area().Country != 156 {
		t.Errorf("desc %+v", d.Desc())
	}
}

func TestDeviceDamage(t *testing.T) {
	checkDamage(t, golden(t, "device.hex"), parseDeviceError)
}

func TestDeviceMinimal(t *testing.T) {
	d, err := NewDevice(testSecret(3), DeviceDesc{}, DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParseDevice(d.Bytes())
	if err != nil || !reflect.DeepEqual(parsed, d) {
		t.Errorf("parsed %+v, error %v; want %+v", parsed, err, d)
	}
	other, err := NewDevice(testSecret(3), DeviceDesc{}, DeviceBody{Updated: 1})
	if err != nil || other.ID() == d.ID() {
		t.Errorf("two devices of one key have the same id, error %v", err)
	}
}

// The budget of spec §7: a device of the largest common shape takes 558 bytes;
// MaxDeviceSize is accepted, and one byte more is refused.
func TestDeviceBudget(t *testing.T) {
	owner := testPeople(t, testPeopleBody())
	desc := DeviceDesc{Owner: owner.ID(), Area: Area{511, 15, 8191, 255}, UniqueID: [16]byte{9}}
	addr := strings.Repeat("s", 20) + ":65535" // 26 characters
	body := DeviceBody{
		Updated:   maxTime - 1,
		Name:      strings.Repeat("n", MaxName),
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:1")},
		SNs:       []Ref{mustRef(t, "1", addr), mustRef(t, "2", addr)},
		PNs:       []Ref{mustRef(t, "3", addr)},
		Versions:  []uint16{1, 2},
	}
	d, err := NewDevice(testSecret(2), desc, body)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := owner.SignMembership(testSecret(1), d)
	if err != nil {
		t.Fatal(err)
	}
	d, err = d.Join(testSecret(2), owner, sig, maxTime)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Bytes()) != 558 {
		t.Errorf("device of %d bytes, want 558", len(d.Bytes()))
	}

	for longer, want := range []int{558, 559, 560} {
		body.PNs = []Ref{mustRef(t, "3", strings.Repeat("s", longer)+addr)}
		d, err := newDevice(testSecret(2), desc, body, sig)
		if err != nil || len(d.Bytes()) != want {
			t.Errorf("%d characters longer: error %v, want %d bytes", longer, err, want)
		} else if err := parseDeviceError(d.Bytes()); err != nil {
			t.Error(err)
		}
	}
	body.PNs = []Ref{mustRef(t, "3", "sss"+addr)}
	_, err = newDevice(testSecret(2), desc, body, sig)
	wantError(t, err, ErrTooLarge)
	wantError(t, parseDeviceError(make([]byte, MaxDeviceSize+1)), ErrTooLarge)
}

// What NewDevice refuses, ParseDevice refuses too: the same change is made to
// the body given to one, and signed behind its back for the other.
func TestDeviceRules(t *testing.T) {
	ep := netip.MustParseAddrPort
	ref := func(i int) Ref { return mustRef(t, fmt.Sprint(i), "sn.example:1") }
	tests := []struct {
		name   string
		change func(*DeviceBody)
		want   error
	}{
		{"no update time", func(b *DeviceBody) { b.Updated = 0 }, ErrMalformed},
		{"late update time", func(b *DeviceBody) { b.Updated = maxTime + 1 }, ErrMalformed},
		{"long name", func(b *DeviceBody) { b.Name = strings.Repeat("n", MaxName+1) }, ErrTooLarge},
		{"name not UTF-8", func(b *DeviceBody) { b.Name = "\xff" }, ErrMalformed},
		{"name with escape", func(b *DeviceBody) { b.Name = "a\x1b[2J" }, ErrMalformed},
		{"name with bidi override", func(b *DeviceBody) { b.Name = "a\u202eb" }, ErrMalformed},
		{"5 endpoints", func(b *DeviceBody) {
			b.Endpoints = []netip.AddrPort{ep("192.0.2.1:1"), ep("192.0.2.1:2"), ep("192.0.2.1:3"), ep("192.0.2.1:4"), ep("192.0.2.1:5")}
		}, ErrTooLarge},
		{"endpoint twice", func(b *DeviceBody) { b.Endpoints = []netip.AddrPort{ep("192.0.2.1:1"), ep("192.0.2.1:1")} }, ErrMalformed},
		{"endpoint without port", func(b *DeviceBody) { b.Endpoints = []netip.AddrPort{ep("192.0.2.1:0")} }, ErrMalformed},
		{"multicast endpoint", func(b *DeviceBody) { b.Endpoints = []netip.AddrPort{ep("224.0.0.1:1")} }, ErrMalformed},
		{"mapped endpoint", func(b *DeviceBody) { b.Endpoints = []netip.AddrPort{ep("[::ffff:192.0.2.1]:1")} }, ErrMalformed},
		{"invalid endpoint", func(b *DeviceBody) { b.Endpoints = make([]netip.AddrPort, 1) }, ErrMalformed},
		{"4 SNs", func(b *DeviceBody) { b.SNs = []Ref{ref(1), ref(2), ref(3), ref(4)} }, ErrTooLarge},
		{"SN twice", func(b *DeviceBody) { b.SNs = []Ref{ref(1), ref(1)} }, ErrMalformed},
		{"SN without port", func(b *DeviceBody) { b.SNs = []Ref{{ref(1).ID, "sn.example"}} }, ErrMalformed},
		{"SN in capitals", func(b *DeviceBody) { b.SNs = []Ref{{ref(1).ID, "SN.example:1"}} }, ErrNotCanonical},
		{"SN is people", func(b *DeviceBody) { b.SNs = []Ref{{mustID(t, TypePeople, "p"), "sn.example:1"}} }, ErrWrongType},
		{"3 PNs", func(b *DeviceBody) { b.PNs = []Ref{ref(1), ref(2), ref(3)} }, ErrTooLarge},
		{"5 versions", func(b *DeviceBody) { b.Versions = []uint16{1, 2, 3, 4, 5} }, ErrTooLarge},
		{"versions descend", func(b *DeviceBody) { b.Versions = []uint16{2, 1} }, ErrNotCanonical},
		{"version twice", func(b *DeviceBody) { b.Versions = []uint16{1, 1} }, ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := DeviceBody{Updated: testStamp}
			tt.change(&body)
			_, err := NewDevice(testSecret(2), DeviceDesc{}, body)
			wantError(t, err, tt.want)

			w := wireDeviceBody{Updated: body.Updated, Name: body.Name, SNs: wireRefs(body.SNs), PNs: wireRefs(body.PNs), Versions: body.Versions}
			for _, ap := range body.Endpoints {
				w.Endpoints = append(w.Endpoints, appendAddrPort(nil, ap))
			}
			raw := forge(t, testSecret(2), encode(t, testDeviceDesc()), encode(t, w))
			wantError(t, parseDeviceError(raw), tt.want)
		})
	}
}

func testDeviceDesc() wireDeviceDesc {
	s := testSecret(2)
	return wireDeviceDesc{wireType: wireType{TypeDevice}, SigningKey: s.SigningKey(), NoiseKey: s.NoiseKey(), UniqueID: [16]byte{1}}
}

func TestDeviceDescRules(t *testing.T) {
	tests := []struct {
		name   string
		change func(*wireDeviceDesc)
		want   error
	}{
		{"unchanged", func(*wireDeviceDesc) {}, nil},
		{"no Noise key", func(d *wireDeviceDesc) { d.NoiseKey = NoiseKey{} }, ErrMalformed},
		{"no signing key", func(d *wireDeviceDesc) { d.SigningKey = SigningKey{} }, ErrMalformed},
		{"other signing key", func(d *wireDeviceDesc) { d.SigningKey = testSecret(3).SigningKey() }, ErrSignature},
		{"owner is a device", func(d *wireDeviceDesc) { d.Owner = mustID(t, TypeDevice, "x") }, ErrWrongType},
		{"owner of category 2", func(d *wireDeviceDesc) { d.Owner = ID{0: 2<<6 | byte(TypePeople)<<2} }, ErrWrongType},
		{"area of 35 bits", func(d *wireDeviceDesc) { d.Area = 1 << 34 }, ErrMalformed},
		{"a file", func(d *wireDeviceDesc) { d.Type = TypeFile }, ErrWrongType},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			desc := testDeviceDesc()
			tt.change(&desc)
			raw := forge(t, testSecret(2), encode(t, desc), encode(t, wireDeviceBody{Updated: 1}))
			if err := parseDeviceError(raw); tt.want != nil || err != nil {
				wantError(t, err, tt.want)
			}
		})
	}

	_, err := NewDevice(testSecret(2), DeviceDesc{Area: Area{Country: 512}}, DeviceBody{Updated: 1})
	wantError(t, err, ErrMalformed)
	_, err = NewDevice(testSecret(2), DeviceDesc{Owner: mustID(t, TypeFile, "")}, DeviceBody{Updated: 1})
	wantError(t, err, ErrWrongType)
}

// Bodies that are signed by the right key, but are not the deterministic
// encoding of anything.
func TestDeviceEncoding(t *testing.T) {
	tests := []struct {
		name, body string
		want       error
	}{
		{"canonical", "a10105", nil},
		{"empty", "", ErrTruncated},
		{"not a map", "80", ErrMalformed},
		{"no update time", "a0", ErrNotCanonical},
		{"long integer", "a1011805", ErrNotCanonical},
		{"long map head", "b8010105", ErrNotCanonical},
		{"indefinite map", "bf0105ff", ErrMalformed},
		{"keys out of order", "a2026161" + "0105", ErrNotCanonical},
		{"duplicate key", "a201050105", ErrMalformed},
		{"unknown key", "a201050805", ErrMalformed},
		{"text key", "a20105" + "615505", ErrMalformed},
		{"tagged", "c1a10105", ErrMalformed},
		{"tagged time", "a101c105", ErrMalformed},
		{"bytes after it", "a1010500", ErrNotCanonical},
		{"float time", "a101f94500", ErrMalformed},
		{"negative time", "a10120", ErrMalformed},
		{"null name", "a2010502f6", ErrNotCanonical},
		{"empty name", "a201050260", ErrNotCanonical},
		{"name as bytes", "a20105024161", ErrMalformed},
		{"empty list", "a201050380", ErrNotCanonical},
		{"endpoint of 5 bytes", "a201050381" + "45c000020101", ErrMalformed},
		{"endpoint as text", "a201050381" + "6161", ErrMalformed},
		{"reference of 1", "a201050481" + "81" + "5820" + id32, ErrMalformed},
		{"reference of 3", "a201050481" + "83" + "5820" + id32 + "66736e3a313131" + "01", ErrMalformed},
		{"reference", "a201050481" + "82" + "5820" + id32 + "64736e3a31", nil},
		{"reference with a short id", "a201050481" + "82" + "581f" + id32[2:] + "64736e3a31", ErrNotCanonical},
		{"reference with an IP address as text", "a201050481" + "82" + "5820" + id32 + "6b" + "3139322e302e322e313a31", ErrNotCanonical},
		{"reference with a number", "a201050481" + "82" + "5820" + id32 + "01", ErrMalformed},
		{"version above 16 bits", "a201050681" + "1a00010000", ErrMalformed},
		{"membership without owner", "a201050758" + "40" + strings.Repeat("00", 64), ErrMalformed},
		{"nested deeply", "a2010503" + strings.Repeat("81", 8) + "00", ErrMalformed},
		{"list of 2^32", "a20105039affffffff", ErrTooLarge},
		{"endless string", "a20105027b7fffffffffffffff", ErrTruncated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := forge(t, testSecret(2), encode(t, testDeviceDesc()), unhex(t, tt.body))
			if err := parseDeviceError(raw); tt.want != nil || err != nil {
				wantError(t, err, tt.want)
			}
		})
	}
}

// id32 is a device id in hex.
var id32 = "44" + strings.Repeat("00", 30) + "01"

func TestDeviceMembershipLength(t *testing.T) {
	desc := testDeviceDesc()
	desc.Owner = mustID(t, TypePeople, "p")
	for _, n := range []int{1, signatureLen - 1, signatureLen + 1} {
		body := wireDeviceBody{Updated: 1, Membership: make([]byte, n)}
		wantError(t, parseDeviceError(forge(t, testSecret(2), encode(t, desc), encode(t, body))), ErrMalformed)
	}
}

func TestDeviceUpdate(t *testing.T) {
	d := testDevice(t)
	body := d.Body()
	body.Name = "desktop"
	_, err := d.Update(testSecret(2), body)
	wantError(t, err, ErrRolledBack)
	body.Updated++
	_, err = d.Update(testSecret(3), body)
	wantError(t, err, ErrKeyMismatch)

	next, err := d.Update(testSecret(2), body)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID() != d.ID() || next.Name() != "desktop" || d.Name() != "laptop" {
		t.Errorf("updated %v %q to %v %q", d, d.Name(), next, next.Name())
	}
	if err := testPeople(t, testPeopleBody()).Member(next, testTime); err != nil {
		t.Errorf("update lost the membership: %v", err)
	}

	if got := d.NextUpdate(testTime.Add(time.Second)); got != testStamp+1000 {
		t.Errorf("next update a second later is %d", got)
	}
	if got := d.NextUpdate(time.Time{}); got != testStamp+1 {
		t.Errorf("next update with a clock behind is %d", got)
	}
}

// Nothing handed out or taken in shares memory with a device.
func TestDeviceImmutable(t *testing.T) {
	body := testDeviceBody(t)
	d, err := NewDevice(testSecret(2), DeviceDesc{}, body)
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.Clone(d.Bytes())
	parsed, err := ParseDevice(raw)
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	for _, b := range []DeviceBody{body, d.Body(), {Endpoints: d.Endpoints(), SNs: d.SNs(), PNs: d.PNs(), Versions: d.Versions()}} {
		clear(b.Endpoints)
		clear(b.SNs)
		clear(b.PNs)
		clear(b.Versions)
	}
	if want := testDeviceBody(t); !reflect.DeepEqual(d.Body(), want) || !reflect.DeepEqual(parsed, d) {
		t.Errorf("body changed to %+v, parsed to %+v", d.Body(), parsed.Body())
	}
}

// The input is tried as it is, and as the body of a device that is correctly
// signed, since no fuzzer gets past a signature. What is accepted is what
// newDevice makes of the same values.
func FuzzParseDevice(f *testing.F) {
	env, err := openEnvelope(golden(f, "device.hex"), MaxDeviceSize)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(env.raw)
	f.Add(env.Body)
	f.Add([]byte{0xa1, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, raw := range [][]byte{b, forge(t, testSecret(2), env.Desc, b)} {
			d, err := ParseDevice(raw)
			if err != nil {
				continue
			}
			again, err := newDevice(testSecret(2), d.desc, d.body, d.membership)
			if err != nil || !reflect.DeepEqual(again, d) || !bytes.Equal(d.Bytes(), raw) || len(raw) > MaxDeviceSize {
				t.Errorf("%x parsed as %+v, made anew %+v, error %v", raw, d, again, err)
			}
		}
	})
}

func BenchmarkParseDevice(b *testing.B) {
	raw := golden(b, "device.hex")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseDevice(raw); err != nil {
			b.Fatal(err)
		}
	}
}
