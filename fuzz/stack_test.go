package fuzz

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// FuzzStack lets the fuzzer choose what a hostile device and a hostile super node do
// to a whole stack, in what order and from what sources: anything in the clear, messages
// sealed under true keys, replays, calls, hints. Meanwhile the stack dials, and time
// passes. Nothing may panic, hang or leak; the honest session must go on, and tables
// and what third parties are sent must stay within their bounds.
func FuzzStack(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8000 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.close()
			start := time.Now()
			for in := (input{b}); len(in.b) > 0; {
				step(w, &in)
			}
			w.echo()
			w.check(time.Since(start))
		})
	})
}

// TestSeeds runs the seeds, so that an ordinary run of the tests does, whatever the
// fuzzing cache holds.
func TestSeeds(t *testing.T) {
	for _, seed := range seeds() {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer w.close()
			start := time.Now()
			for in := (input{seed}); len(in.b) > 0; {
				step(w, &in)
			}
			w.echo()
			if w.server.keys() == nil {
				t.Error("the target is not online: this proves nothing")
			}
			w.check(time.Since(start))
		})
	}
}

// check holds the target to its bounds.
func (w *world) check(took time.Duration) {
	w.t.Helper()
	peers := w.target.Peers()
	if len(peers) > 4+2 { // and those that it dials itself
		w.t.Errorf("%d peers", len(peers))
	}
	for _, p := range peers {
		e, ok := w.target.Explain(p.ID)
		if ok && (len(e.Paths) > 32 || len(e.Lines) > 256+64) {
			w.t.Errorf("%d paths, %d lines", len(e.Paths), len(e.Lines))
		}
	}
	// Of each of the peers that there may have been, the unproven bucket of path.md §3,
	// with the largest knock; and an answer for each packet in the victim's name.
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := (128+4*int(took/time.Second+1))*wire.MaxInitiation*8 + 1<<16
	if w.toVictim > limit {
		w.t.Errorf("%d bytes to the victim in %v", w.toVictim, took)
	}
}

// An input is what the fuzzer has yet to say.
type input struct{ b []byte }

func (in *input) byte() byte {
	if len(in.b) == 0 {
		return 0
	}
	c := in.b[0]
	in.b = in.b[1:]
	return c
}

// bytes returns a short string of bytes.
func (in *input) bytes() []byte {
	n := min(int(in.byte()), len(in.b))
	s := in.b[:n:n]
	in.b = in.b[n:]
	return s
}

// source returns where a packet claims to come from.
func (in *input) source() netip.AddrPort {
	return []netip.AddrPort{{}, friendAt, serverAt, rogueAt, victimAt, targetAt}[in.byte()%6]
}

// keys returns the keys that a villain shares with the target, nil if there are none.
func (v *villain) keys() any {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.assoc == nil {
		return nil
	}
	return v.assoc
}

// The steps.
const (
	stepRaw      = iota // source, bytes
	stepControl         // source, type, bytes: with a proper header, as long as the type is
	stepInitiate        // source
	stepSealed          // source, bytes: by the rogue
	stepServer          // source, bytes: by the SN
	stepCall            // bytes: the SN says that somebody calls
	stepReplay          // source, which, flip
	stepWait            // how long
	stepDial            // whom
	stepAnswer          // status, wait, shared, candidates: the SN answers a call
	stepSignal          // which: the SN signals a packet that was captured
	stepGoodbye         // source: of the rogue
	stepSilence         // the SN stops or begins to serve
	stepEcho            // the honest session is used
	numSteps
)

// step does one thing.
func step(w *world, in *input) {
	switch in.byte() % numSteps {
	case stepRaw:
		w.rogue.send(in.source(), in.bytes())
	case stepControl:
		from := in.source()
		pkt := append([]byte{0x20 | in.byte()&0x1f, wire.Version, 0, 0}, in.bytes()...)
		if pad := int(in.byte()) * 4; len(pkt) < pad {
			pkt = append(pkt, make([]byte, pad-len(pkt))...)
		}
		w.rogue.send(from, pkt)
	case stepInitiate:
		w.rogue.initiate(in.source())
		time.Sleep(10 * time.Millisecond)
	case stepSealed:
		w.rogue.seal(in.source(), in.bytes())
	case stepServer:
		w.server.seal(in.source(), in.bytes())
	case stepCall:
		w.server.seal(netip.AddrPort{}, call(w, in))
	case stepReplay:
		from, which, flip := in.source(), int(in.byte()), in.byte()
		w.mu.Lock()
		pkt := append([]byte(nil), w.captured[which%len(w.captured)]...)
		w.mu.Unlock()
		if len(pkt) > 0 && flip != 0 {
			pkt[int(flip)*len(pkt)/256] ^= flip
		}
		w.rogue.send(from, pkt)
	case stepWait:
		time.Sleep(time.Duration(in.byte()) * time.Duration(in.byte()) * time.Millisecond)
	case stepDial:
		dial(w, in)
	case stepAnswer:
		w.server.mu.Lock()
		asked := w.server.asked
		w.server.mu.Unlock()
		m := wire.CallReply{
			Request: asked, Status: wire.Status(in.byte() % 8), Wait: time.Duration(in.byte()) * time.Millisecond,
			Shared: in.byte()&1 == 1, Candidates: candidates(in), Device: devices[0].Device.Bytes(),
		}
		w.server.seal(netip.AddrPort{}, m.Append(nil))
	case stepSignal:
		w.mu.Lock()
		m := wire.Signalled{From: w.rogue.local.ID(), Packet: w.captured[int(in.byte())%len(w.captured)]}
		w.mu.Unlock()
		w.server.seal(netip.AddrPort{}, m.Append(nil))
	case stepGoodbye:
		w.rogue.seal(in.source(), (&wire.Goodbye{Reason: "enough"}).Append(nil))
	case stepSilence:
		w.server.mu.Lock()
		w.server.serves = !w.server.serves
		w.server.mu.Unlock()
	case stepEcho:
		w.echo()
	}
	synctest.Wait()
}

// call is a Called of the rogue, or of one who is not the one that it says.
func call(w *world, in *input) []byte {
	m := wire.Called{
		Call: uint64(in.byte()), Caller: w.rogue.local.ID(), Wait: time.Duration(in.byte()) * time.Millisecond,
		Shared: in.byte()&1 == 1, Candidates: candidates(in),
	}
	switch in.byte() % 4 {
	case 0:
		m.Device = devices[0].Device.Bytes()
	case 1:
		m.Device = devices[3].Device.Bytes() // the friend's
		m.Caller = devices[3].Device.ID()
	case 2:
		m.Device = in.bytes()
	case 3:
		w.rogue.initiate(victimAt)
		w.rogue.mu.Lock()
		m.Initiation = w.rogue.initiator.Packet()
		w.rogue.mu.Unlock()
	}
	return m.Append(nil)
}

// candidates are up to 8 places, the victim among them.
func candidates(in *input) (list []wire.Candidate) {
	for range in.byte() % (wire.MaxCandidates + 1) {
		c := wire.Candidate{Kind: wire.CandidateKind(in.byte()%6 + 1), Addr: victimAt}
		if from := in.source(); from.IsValid() {
			c.Addr = from
		}
		list = append(list, c)
	}
	return list
}

// dial has the target dial somebody. What comes of it is not waited for.
func dial(w *world, in *input) {
	var id identity.ID
	switch in.byte() % 3 {
	case 0:
		id = w.rogue.local.ID()
		w.target.Learn(identity.Ticket{ID: id, Device: devices[0].Device, Endpoints: []netip.AddrPort{rogueAt}})
	case 1:
		id = w.rogue.local.ID()
	case 2:
		id = w.friend.ID()
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
		defer cancel()
		if c, err := w.target.Dial(ctx, id, bdt.EchoService); err == nil {
			c.Close()
		}
	}()
}

// seeds are inputs that come far: every message in the clear and sealed, before a
// handshake of the rogue's, after it, and during a dial.
func seeds() [][]byte {
	var clear, sealed, server, mixed []byte
	for ty := range byte(32) {
		for src := range byte(6) {
			clear = append(clear, stepControl, src, ty, 8, 0, 0, 0, 1, 0, 0, 0, 2, 180)
		}
	}
	sealed = append(sealed, stepInitiate, 0, stepDial, 0)
	server = append(server, stepWait, 100, 20, stepDial, 1)
	for ty := range byte(34) {
		body := binary.BigEndian.AppendUint64([]byte{ty}, 7)
		for _, n := range []int{1, 5, 9, 40, 100} {
			msg := append(body, make([]byte, 100)...)[:n]
			for _, src := range []byte{0, 4} {
				sealed = append(append(sealed, stepSealed, src, byte(n)), msg...)
				server = append(append(server, stepServer, src, byte(n)), msg...)
			}
		}
		if ty%8 == 7 {
			sealed = append(sealed, stepWait, 100, 10, stepInitiate, 4, stepEcho)
			server = append(server, stepWait, 100, 10, stepDial, 1, stepEcho)
		}
	}
	for i := range byte(60) {
		mixed = append(mixed, stepInitiate, i%6, stepReplay, i%5, i, i*3, stepCall, i, 5, 1, 2, 1, 4, 2, 3, i, stepDial, i,
			stepAnswer, i%9, 4, 1, 2, 1, 4, 2, 3, stepSignal, i, stepWait, i, 30)
		if i%7 == 0 {
			mixed = append(mixed, stepGoodbye, i%6, stepReplay, 0, i, 0, stepReplay, 0, i+1, 0)
		}
		if i%20 == 19 {
			mixed = append(mixed, stepSilence, stepWait, 255, 255)
		}
	}
	return [][]byte{{}, clear, sealed, server, mixed, mixed[:len(mixed)/3]}
}
