package discovery

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

func testID(b byte) identity.ID {
	var id identity.ID
	for i := range id {
		id[i] = b
	}
	return id
}

var here = []netip.AddrPort{netip.MustParseAddrPort("192.168.7.1:7000")}

// TestTag holds the tag to a value that was computed apart (Python's
// hashlib.blake2s) from spec §2.
func TestTag(t *testing.T) {
	key := newTagKey(testID(0x1d))
	m := wire.Announce{Nonce: [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, Addrs: here}
	tag := key.tag(m.Append(nil))
	if got := hex.EncodeToString(tag[:]); got != "e847d7f3f31a7e055d14a85bb6a285c1" {
		t.Errorf("tag %s", got)
	}
}

// TestMade: any change to a beacon, and any other id, is noticed.
func TestMade(t *testing.T) {
	key, other := newTagKey(testID(1)), newTagKey(testID(2))
	for name, b := range map[string][]byte{"query": key.query(here), "announce": key.announce(here)} {
		if !key.made(b) || other.made(b) {
			t.Errorf("%s: made by its own %v, by another's %v", name, key.made(b), other.made(b))
		}
		for i := range b {
			b[i] ^= 1
			if key.made(b) {
				t.Errorf("%s: byte %d may be changed", name, i)
			}
			b[i] ^= 1
		}
	}
	if one, other := key.announce(here), key.announce(here); string(one) == string(other) {
		t.Error("two announcements are alike")
	}
}
