package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A fixed moment, as time and in milliseconds, for all objects in tests.
var testTime = time.UnixMilli(testStamp)

const testStamp = 1_790_000_000_000

// testSecret returns the secret whose seed is 32 times b.
func testSecret(b byte) *Secret {
	return SecretFromSeed([32]byte(bytes.Repeat([]byte{b}, 32)))
}

func mustID(t testing.TB, typ Type, desc string) ID {
	t.Helper()
	id, err := NewID(typ, Area{}, []byte(desc))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustRef(t testing.TB, name, addr string) Ref {
	t.Helper()
	ref, err := NewRef(mustID(t, TypeDevice, name), addr)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func testPeopleBody() PeopleBody {
	return PeopleBody{Updated: testStamp, ValidUntil: testStamp + 1000, Name: "alice"}
}

// testPeople returns an owner with seed 1 and the given body.
func testPeople(t testing.TB, body PeopleBody) *People {
	t.Helper()
	p, err := NewPeople(testSecret(1), PeopleDesc{UniqueID: [16]byte{1}}, body)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testDeviceBody(t testing.TB) DeviceBody {
	return DeviceBody{
		Updated: testStamp,
		Name:    "laptop",
		Endpoints: []netip.AddrPort{
			netip.MustParseAddrPort("192.0.2.1:4433"),
			netip.MustParseAddrPort("[2001:db8::1]:4433"),
		},
		SNs:      []Ref{mustRef(t, "sn1", "sn1.example.net:4433"), mustRef(t, "sn2", "198.51.100.7:4433")},
		PNs:      []Ref{mustRef(t, "pn1", "[2001:db8::7]:443")},
		Versions: []uint16{1, 2},
	}
}

// testDevice returns a device with seed 2 that has joined the zone of the
// owner with seed 1.
func testDevice(t testing.TB) *Device {
	t.Helper()
	owner := testPeople(t, testPeopleBody())
	body := testDeviceBody(t)
	body.Updated--
	desc := DeviceDesc{Owner: owner.ID(), Area: Area{Country: 156, Carrier: 1, City: 10, Inner: 3}, UniqueID: [16]byte{2}}
	d, err := NewDevice(testSecret(2), desc, body)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := owner.SignMembership(testSecret(1), d)
	if err != nil {
		t.Fatal(err)
	}
	d, err = d.Join(testSecret(2), owner, sig, testStamp)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// golden returns the bytes that the hex file testdata/name spells.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, strings.Join(strings.Fields(string(text)), ""))
}

// forge returns an object with the given desc and body, correctly signed by
// secret, whatever the two contain.
func forge(t testing.TB, secret *Secret, desc, body []byte) []byte {
	t.Helper()
	env := envelope{wireObject: wireObject{Desc: desc, Body: body}}
	env.Sig = secret.Sign(env.signed())
	return encode(t, env.wireObject)
}

// encode returns the deterministic encoding of v.
func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := cborEnc.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkDamage cuts a valid object at every byte and flips its every bit: parse
// must refuse all of it, the cut ones as truncated.
func checkDamage(t *testing.T, valid []byte, parse func([]byte) error) {
	t.Helper()
	if err := parse(valid); err != nil {
		t.Fatal(err)
	}
	for n := range valid {
		if err := parse(valid[:n]); !errors.Is(err, ErrTruncated) {
			t.Errorf("cut to %d bytes: error %v, want %v", n, err, ErrTruncated)
		}
	}
	for i := range 8 * len(valid) {
		damaged := bytes.Clone(valid)
		damaged[i/8] ^= 1 << (i % 8)
		if parse(damaged) == nil {
			t.Errorf("accepted with bit %d of byte %d flipped", i%8, i/8)
		}
	}
	wantError(t, parse(append(bytes.Clone(valid), 0)), ErrNotCanonical)
}
