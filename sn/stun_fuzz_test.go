package sn

import (
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/internal/stun"
)

// FuzzSTUN feeds a server that has two addresses with two ports each what may be a Binding
// request. It sends at most one packet, no longer than the spec says, and that
// to the host that asked.
func FuzzSTUN(f *testing.F) {
	for _, q := range []stun.Query{{}, {Other: true}, {ChangeIP: true, ChangePort: true}, {ChangePort: true, ResponsePort: 9}} {
		f.Add(byte(1), stun.AppendQuery(nil, stun.TransactionID{1}, q))
	}
	r := newRealRig(f, Limits{})
	var exits []exit
	for _, a := range []string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1", "192.0.2.2:2"} {
		exits = append(exits, exit{newFakeSocket(), netip.MustParseAddrPort(a)})
	}
	all := makeChanges(exits)
	r.s.stun.changes.Store(&all)
	stranger := netip.MustParseAddrPort("[2001:db8::7]:4000") // the longest answers
	f.Fuzz(func(t *testing.T, via byte, data []byte) {
		r.s.handleSTUN(place{exits[int(via)%len(exits)].via, stranger}, data)
		sent := 0
		for _, x := range exits {
			sock := x.via.(*fakeSocket)
			for to, packets := range sock.sent {
				sent += len(packets)
				for _, p := range packets {
					if to.Addr() != stranger.Addr() || len(p) > stun.MaxAnswer {
						t.Errorf("%d bytes to %v earned %d to %v", len(data), x.addr, len(p), to)
					}
				}
			}
			clear(sock.sent)
		}
		if sent > 1 {
			t.Errorf("%d packets for one", sent)
		}
	})
}
