package identity

import (
	"bytes"
	"testing"
)

func TestParseObject(t *testing.T) {
	for name, typ := range map[string]Type{"device.hex": TypeDevice, "people.hex": TypePeople} {
		raw := golden(t, name)
		o, err := ParseObject(raw)
		if err != nil {
			t.Fatal(err)
		}
		if o.ID().Type() != typ || o.Updated() != testStamp || !bytes.Equal(o.Bytes(), raw) {
			t.Errorf("%s: parsed %v %v", name, o.ID(), o.Updated())
		}
	}
	wantError(t, parseDeviceError(golden(t, "people.hex")), ErrWrongType)
	wantError(t, parsePeopleError(golden(t, "device.hex")), ErrWrongType)

	for _, tt := range []struct {
		name string
		raw  []byte
		want error
	}{
		{"empty", nil, ErrTruncated},
		{"too large", make([]byte, MaxPeopleSize+1), ErrTooLarge},
		{"a file", forge(t, testSecret(1), encode(t, wireType{TypeFile}), nil), ErrWrongType},
		{"no type", forge(t, testSecret(1), []byte{0xa0}, nil), ErrWrongType},
		{"desc is not CBOR", forge(t, testSecret(1), []byte{0xff}, nil), ErrMalformed},
		{"two elements", []byte{0x82, 0x40, 0x40}, ErrMalformed},
		{"four elements", []byte{0x84, 0x40, 0x40, 0x40, 0x40}, ErrMalformed},
		{"long byte string head", []byte{0x83, 0x58, 0x03, 0xa1, 0x01, 0x01, 0x40, 0x40}, ErrNotCanonical},
		{"body of a text string", []byte{0x83, 0x40, 0x60, 0x40}, ErrMalformed},
		{"indefinite array", []byte{0x9f, 0x40, 0x40, 0x40, 0xff}, ErrMalformed},
		{"array of 2^63", []byte{0x9b, 0x80, 0, 0, 0, 0, 0, 0, 0}, ErrMalformed},
		{"array of 2^32", []byte{0x9a, 0xff, 0xff, 0xff, 0xff}, ErrTooLarge},
		// A device's bytes exceed its own cap before they exceed an object's.
		{"large device", forge(t, testSecret(2), encode(t, testDeviceDesc()), make([]byte, MaxDeviceSize)), ErrTooLarge},
		{"signature of 63 bytes", shortSignature(t), ErrSignature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseObject(tt.raw)
			wantError(t, err, tt.want)
		})
	}
}

func shortSignature(t *testing.T) []byte {
	w := wireObject{Desc: encode(t, testDeviceDesc()), Body: []byte{0xa1, 1, 5}, Sig: make([]byte, 63)}
	return encode(t, w)
}

// The desc of one object and the body and signature of another make no object.
func TestObjectSplice(t *testing.T) {
	a, err := openEnvelope(golden(t, "device.hex"), MaxDeviceSize)
	if err != nil {
		t.Fatal(err)
	}
	desc := testDeviceDesc() // the same key, another unique id
	desc.Owner = mustID(t, TypePeople, "p")
	wantError(t, parseDeviceError(encode(t, wireObject{Desc: encode(t, desc), Body: a.Body, Sig: a.Sig})), ErrSignature)
}

func TestCheckSuccessor(t *testing.T) {
	held := testDevice(t)
	update := func(updated uint64, name string) *Device {
		t.Helper()
		body := held.Body()
		body.Updated, body.Name = updated, name
		d, err := newDevice(testSecret(2), held.desc, body, held.membership)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	other, err := NewDevice(testSecret(2), DeviceDesc{}, DeviceBody{Updated: testStamp + 1})
	if err != nil {
		t.Fatal(err)
	}
	copied, err := ParseDevice(held.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		next *Device
		want error
	}{
		{"newer", update(testStamp+1, "laptop"), nil},
		{"copy", copied, nil},
		{"older", update(testStamp-1, "laptop"), ErrRolledBack},
		{"fork", update(testStamp, "desktop"), ErrRolledBack},
		{"another device", other, ErrWrongID},
	} {
		if err := CheckSuccessor(held, tt.next); tt.want != nil || err != nil {
			t.Log(tt.name)
			wantError(t, err, tt.want)
		}
	}
	wantError(t, CheckSuccessor[Object](held, fullPeople(t)), ErrWrongID)
}
