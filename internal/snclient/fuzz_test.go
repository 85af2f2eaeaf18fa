package snclient

import (
	"context"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// FuzzClientPacket feeds an owner, at one of its stages, a packet from the SN's
// address, or once there are keys a message that the SN sealed. Nothing may fail,
// and what is not sealed may change nothing that is believed.
func FuzzClientPacket(f *testing.F) {
	online := byte(len(stages))
	for _, msg := range answersOf() {
		f.Add(online, true, msg)
		f.Add(online-1, true, msg)
	}
	hint := wire.Hint{Receiver: 9}
	cookie := wire.CookieReply{Receiver: 1}
	response := wire.Response{Sender: 1, Receiver: 2, Noise: make([]byte, 48)}
	described := wire.Described{Device: testDevice(f, 2).Device.Bytes()}
	for stage := range online + 1 {
		for _, p := range [][]byte{hint.Append(nil), cookie.Append(nil), response.Append(nil), described.Append(nil)} {
			f.Add(stage, false, p)
		}
	}
	cache := make(map[int]*bench)
	f.Fuzz(func(t *testing.T, stage byte, sealed bool, data []byte) {
		n := int(stage) % (len(stages) + 1)
		b := cache[n]
		if b == nil {
			b = benchAt(t, n)
		}
		delete(cache, n)
		b.t = t
		if sealed && b.assoc == nil || len(data) > wire.MaxPacket-wire.SealedOverhead {
			return
		}
		type belief struct {
			state    State
			server   *identity.Device
			link     *link
			observed netip.AddrPort
			current  *noise.Association
			called   int
		}
		believed := func() belief {
			return belief{b.o.State(), b.o.server.Load(), b.o.link.Load(), b.o.Observed(), b.o.exchange.Current(), b.called}
		}
		before := believed()
		p := data
		if sealed {
			p = b.seal(data)
		}
		b.o.receive(b.now, p, b.at)
		if !sealed && before != believed() {
			t.Errorf("a packet that proves nothing changed %+v to %+v", before, believed())
		}
		b.o.step(context.Background(), b.now)
		if len(b.o.flights) > maxFlights || len(b.o.calls.seen) > callLogSize {
			t.Errorf("%d flights, %d calls", len(b.o.flights), len(b.o.calls.seen))
		}
		if !sealed {
			cache[n] = b
		}
	})
}
