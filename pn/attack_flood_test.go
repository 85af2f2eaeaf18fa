package pn

import (
	"bytes"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// TestRepeatInFlood: a device whose response was lost gets it again, however many initiations of
// others there have been within the 10 s for which it is good.
func TestRepeatInFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of initiations")
	}
	inBubble(t, Limits{Handshakes: 1000}, func(t *testing.T, r *rig) {
		d := r.dev(1)
		i := d.initiation().Packet()
		r.deliver(d.addr, i)
		lost := r.conn.take(d.addr)
		flood := r.dev(2)
		for range 5 {
			for range 900 {
				r.s.gate.Admit(time.Now(), flood.initiation().Packet(), addrOf(1000))
			}
			time.Sleep(time.Second)
		}
		r.deliver(d.addr, i)
		if got := r.conn.take(d.addr); len(got) != 1 || !bytes.Equal(got[0], lost[0]) {
			t.Error("the response is not sent again")
		}
	})
}

// TestDrainingTold: a device whose Notice was lost hears with its next Pong that the server is about
// to stop.
func TestDrainingTold(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b, _ := r.pair(1)
		go r.s.Drain(t.Context())
		time.Sleep(time.Second)
		a.received() // lost
		b.received()
		a.send(&wire.Ping{Request: 7})
		told := false
		for _, m := range a.received() {
			told = told || m[0] == byte(wire.MsgNotice)
		}
		if !told {
			t.Error("a device that pings is not told")
		}
	})
}
