package sn

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// newAssociation returns the responder's end of one.
func newAssociation(t testing.TB) *noise.Association {
	t.Helper()
	device, server := newLocal(t, 1, identity.ID{}), newLocal(t, 2, identity.ID{})
	i, err := noise.NewLocal(device).Initiate(server.Device, noise.Offer{Index: 7, Stamp: 1})
	if err != nil {
		t.Fatal(err)
	}
	in, err := noise.NewLocal(server).ReadInitiation(i.Packet())
	if err != nil {
		t.Fatal(err)
	}
	_, a, err := in.Accept(noise.Accept{Index: 8})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func sampleRecord(t testing.TB) deviceRecord {
	list := wire.Candidates{List: []wire.Candidate{host("192.0.2.1:1"), host("[2001:db8::1]:1")}}
	return deviceRecord{
		boot: 1, heard: 2, instance: 3, visibility: wire.VisibleNobody, rtt: time.Millisecond,
		via: fakeLocal, at: netip.MustParseAddrPort("[2001:db8::2]:4000"), owner: identity.ID{9},
		descriptor: object{4, []byte("descriptor")}, candidates: list.Append(nil), assoc: newAssociation(t),
	}
}

func TestDeviceRecord(t *testing.T) {
	r := sampleRecord(t)
	b := r.Append([]byte("before"))
	if !bytes.HasPrefix(b, []byte("before")) {
		t.Fatal("did not append")
	}
	b = b[len("before"):]
	got, err := parseDeviceRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if again := got.Append(nil); !bytes.Equal(again, b) {
		t.Errorf("%x became %x", b, again)
	}
	for n := range b {
		if _, err := parseDeviceRecord(b[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if _, err := parseDeviceRecord(append(b, 0)); err == nil {
		t.Error("a byte more: no error")
	}
}

func TestBeatRecord(t *testing.T) {
	r := beatRecord{boot: 1, beats: []beat{{1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}}}
	b := r.Append(nil)
	got, err := parseBeatRecord(b)
	if err != nil || len(got.beats) != 2 || got.beats[1] != r.beats[1] || got.boot != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseBeatRecord(b[:len(b)-1]); err == nil {
		t.Error("cut: no error")
	}
}

// FuzzRecords: whatever a record is, it parses to what it says or not at all.
func FuzzRecords(f *testing.F) {
	r := sampleRecord(f)
	f.Add(byte(0), r.Append(nil))
	f.Add(byte(1), (&objectRecord{1, 3, object{2, []byte("object")}}).Append(nil))
	f.Add(byte(2), (&beatRecord{1, []beat{{1, 2, 3, 4, 5}}}).Append(nil))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		switch kind % 3 {
		case 0:
			if r, err := parseDeviceRecord(b); err == nil {
				again, err := parseDeviceRecord(r.Append(nil))
				if err != nil || again.at != r.at || again.instance != r.instance {
					t.Errorf("%+v became %+v, %v", r, again, err)
				}
			}
		case 1:
			if r, err := parseObjectRecord(b); err == nil && !bytes.Equal(r.Append(nil), b) {
				t.Errorf("%x became %x", b, r.Append(nil))
			}
		case 2:
			if r, err := parseBeatRecord(b); err == nil && !bytes.Equal(r.Append(nil), b) {
				t.Errorf("%x became %x", b, r.Append(nil))
			}
		}
	})
}
