package netsim

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// NAT-PMP, packet by packet.
func TestNATPMP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		cfg := PortRestricted
		cfg.PortMap.NATPMP = true
		x := newBehind(n, cfg)
		a, b, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		for _, c := range []struct{ name, request, answer string }{
			{"external address", "0000", "00 80 0000 00000001 c6336407"},
			{"version 1", "0100", "00 80 0001 00000002"},
			{"PCP", "0201 0000 00000e10", "00 81 0001 00000003"},
			{"opcode 3", "0003", "00 83 0005 00000004"},
			{"a response", "0080 0000 00000001 c6336407", ""},
			{"short", "0001 0000 1388 1b58 00000e", ""},
			{"map UDP", "0001 0000 1388 1b58 00000e10", "00 81 0000 00000007 1388 1b58 00000e10"},
			{"again, another port", "0001 0000 1388 1b59 00000e10", "00 81 0000 00000008 1388 1b58 00000e10"},
			{"map TCP", "0002 0000 1388 1b58 00000e10", "00 82 0000 00000009 1388 1b58 00000e10"},
			{"port 0", "0001 0000 0000 1b58 00000e10", "00 81 0002 0000000a 0000 0000 00000000"},
			{"a week", "0001 0000 1389 0000 00093a80", "00 81 0000 0000000b 1389 1389 00015180"},
			{"a second", "0001 0000 138a 0000 00000001", "00 81 0000 0000000c 138a 138a 00000001"},
		} {
			n.mu.Lock() // each is asked at a second of its own
			x.nat.portmap.booted = n.now() - time.Duration(map[string]int{"external address": 1, "version 1": 2, "PCP": 3, "opcode 3": 4, "map UDP": 7, "again, another port": 8, "map TCP": 9, "port 0": 10, "a week": 11, "a second": 12}[c.name])*time.Second
			n.mu.Unlock()
			if got := a.ask(unhex(t, c.request)); got != unhex(t, c.answer) {
				t.Errorf("%s: answer %x, want %s", c.name, got, c.answer)
			}
		}
		s.send(addr(natAddr+":7000"), "in")
		a.want("in")

		// The port of the other protocol is not for others, and nobody deletes for others.
		b.ask(unhex(t, "0002 0000 1388 1b58 00000e10"))
		for _, e := range explicitOf(x.nat) {
			if e.inner.Addr() == netip.MustParseAddr("198.18.1.3") && (e.proto != TCP || e.outer.Port() == 7000) {
				t.Errorf("made for the other: %+v", e)
			}
		}
		b.ask(unhex(t, "0001 0000 1388 0000 00000000"))
		b.ask(unhex(t, "0001 0000 0000 0000 00000000"))
		s.send(addr(natAddr+":7000"), "kept")
		a.want("kept")

		if got := a.ask(unhex(t, "0001 0000 1388 0000 00000000")); !strings.HasSuffix(got, unhex(t, "1388 0000 00000000")) || got[3] != 0 {
			t.Errorf("deleting: answer %x", got)
		}
		s.send(addr(natAddr+":7000"), "gone")
		a.wantNone()
		a.ask(unhex(t, "0002 0000 0000 0000 00000000"))
		a.ask(unhex(t, "0001 0000 0000 0000 00000000"))
		for _, e := range explicitOf(x.nat) {
			if e.inner.Addr() == netip.MustParseAddr("198.18.1.2") {
				t.Errorf("left: %+v", e)
			}
		}
	})
}
