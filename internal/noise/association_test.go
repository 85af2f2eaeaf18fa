package noise

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// open fails the test unless pkt opens to msg.
func open(tb testing.TB, a *Association, pkt []byte, msg string, now time.Time) {
	tb.Helper()
	got, err := a.Open(nil, pkt, now)
	if err != nil || string(got) != msg {
		tb.Fatalf("open: %q, %v, want %q", got, err, msg)
	}
}

// refuse fails the test unless pkt is refused with want.
func refuse(tb testing.TB, a *Association, pkt []byte, want error, now time.Time) {
	tb.Helper()
	if got, err := a.Open(nil, pkt, now); !errors.Is(err, want) || got != nil {
		tb.Fatalf("open: %q, %v, want %v", got, err, want)
	}
}

func epochOf(pkt []byte) uint16 { return binary.BigEndian.Uint16(pkt[2:]) }

func TestSealAppends(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	pkt, err := a.Seal([]byte("prefix"), []byte("msg"), start)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := bytes.CutPrefix(pkt, []byte("prefix"))
	if !ok || len(body) != 3+wire.SealedOverhead {
		t.Fatalf("appended to %q: %x", "prefix", pkt)
	}
	msg, err := b.Open([]byte("before "), body, start)
	if err != nil || string(msg) != "before msg" {
		t.Errorf("opened behind a prefix: %q, %v", msg, err)
	}
	body = seal(t, a, "in place", start)
	msg, err = b.Open(body[wire.SealedHeaderLen:wire.SealedHeaderLen], body, start)
	if err != nil || string(msg) != "in place" || &msg[0] != &body[wire.SealedHeaderLen] {
		t.Errorf("opened in place: %q, %v", msg, err)
	}
}

// TestOpenRefuses: every changed byte, every cut, every replay; and none of them
// spoils the true packet.
func TestOpenRefuses(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	pkt := seal(t, a, "message", start)
	for i := range pkt {
		if _, err := b.Open(nil, flip(pkt, i), start); err == nil {
			t.Errorf("byte %d changed: opened", i)
		}
	}
	for n := range pkt {
		if _, err := b.Open(nil, pkt[:n], start); err == nil {
			t.Errorf("cut to %d bytes: opened", n)
		}
	}
	if b.Confirmed() {
		t.Error("confirmed by forgeries")
	}
	refuse(t, a, pkt, ErrIndex, start) // reflected
	open(t, b, pkt, "message", start)
	refuse(t, b, pkt, ErrReplay, start)
	if !b.Confirmed() {
		t.Error("not confirmed")
	}
	// Reflected, under the index that would fit.
	back := seal(t, b, "back", start)
	binary.BigEndian.PutUint32(back[4:], b.LocalIndex())
	back[15] = 99 // a counter that b has not seen
	refuse(t, b, back, ErrDecrypt, start)
}

func TestOpenLate(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	var pkts [][]byte
	for n := range windowSize + 1 {
		pkts = append(pkts, seal(t, a, fmt.Sprint(n), start))
	}
	open(t, b, pkts[windowSize], fmt.Sprint(windowSize), start)
	refuse(t, b, pkts[0], ErrReplay, start) // one more than the window behind
	open(t, b, pkts[1], "1", start)
	refuse(t, b, pkts[1], ErrReplay, start)
}

// TestRatchet follows the initiator through epochs, and the responder after it.
func TestRatchet(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	now := start
	exchange := func(want uint16) {
		t.Helper()
		there := seal(t, a, "there", now)
		open(t, b, there, "there", now)
		back := seal(t, b, "back", now)
		open(t, a, back, "back", now)
		if epochOf(there) != want || epochOf(back) != want {
			t.Fatalf("epochs %d there, %d back, want %d", epochOf(there), epochOf(back), want)
		}
	}
	exchange(0)
	keys := [][32]byte{a.sendKey, a.receiveKey}
	now = now.Add(epochTime - 1)
	exchange(0)
	now = now.Add(1)
	exchange(1)
	for _, old := range keys {
		for _, key := range [][32]byte{a.sendKey, a.receiveKey, b.sendKey, b.receiveKey} {
			if key == old {
				t.Error("an old key is still in use")
			}
		}
	}
	if a.sendKey != b.receiveKey || b.sendKey != a.receiveKey {
		t.Error("keys differ")
	}
	exchange(1)
	for epoch := range uint16(20) {
		now = now.Add(epochTime)
		exchange(2 + epoch)
	}
	if pkt := seal(t, a, "", now); binary.BigEndian.Uint64(pkt[8:]) < 20 {
		t.Error("the counter started again")
	}
}

// TestRatchetPackets: an epoch ends after 2^20 packets in either direction.
func TestRatchetPackets(t *testing.T) {
	for _, direction := range []string{"sealed", "opened"} {
		a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
		open(t, b, seal(t, a, "", start), "", start)
		from, to := a, b
		if direction == "opened" {
			from, to = b, a
		}
		from.counter = epochPackets - 1 // stands for that many packets
		last := seal(t, from, "", start)
		open(t, to, last, "", start)
		if epochOf(last) != 0 {
			t.Fatalf("%s: packet 2^20 in epoch %d", direction, epochOf(last))
		}
		open(t, a, seal(t, b, "", start), "", start)
		if got := epochOf(seal(t, a, "", start)); got != 1 {
			t.Errorf("%s: the initiator's next packet in epoch %d", direction, got)
		}
	}
}

// TestRatchetWaits: an initiator whose packets are lost for hours does not run
// away from the responder.
func TestRatchetWaits(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	open(t, b, seal(t, a, "", start), "", start)
	open(t, a, seal(t, b, "", start), "", start)
	now := start
	for range 100 {
		now = now.Add(epochTime)
		if got := epochOf(seal(t, a, "lost", now)); got != 1 {
			t.Fatalf("epoch %d without the responder", got)
		}
		if got := epochOf(seal(t, b, "lost", now)); got != 0 {
			t.Fatalf("the responder moves on by itself, to %d", got)
		}
	}
	open(t, a, seal(t, b, "still in 0", now), "still in 0", now)
	open(t, b, seal(t, a, "found", now), "found", now)
	open(t, a, seal(t, b, "again", now), "again", now)
	if got := epochOf(seal(t, a, "", now)); got != 2 {
		t.Errorf("epoch %d after the responder has followed", got)
	}
}

// TestRatchetReordering: packets of the epoch before open for 30 s, and no others.
func TestRatchetReordering(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	open(t, b, seal(t, a, "", start), "", start)
	open(t, a, seal(t, b, "", start), "", start)
	first, second := seal(t, a, "late", start), seal(t, a, "too late", start)
	now := start.Add(epochTime)
	next, third := seal(t, a, "next", now), seal(t, a, "third", now)
	backEarly := seal(t, b, "back early", now)
	open(t, b, next, "next", now)
	open(t, b, first, "late", now.Add(epochGrace-1))
	refuse(t, b, second, ErrEpoch, now.Add(epochGrace))
	if b.before != nil {
		t.Error("the old key is still held")
	}
	open(t, b, third, "third", now.Add(epochGrace))
	// The initiator reads the responder's packets of both epochs, in either order.
	open(t, a, seal(t, b, "back", now), "back", now)
	open(t, a, backEarly, "back early", now)
}

// TestForgedEpoch: a header that claims another epoch moves nothing.
func TestForgedEpoch(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	open(t, b, seal(t, a, "", start), "", start)
	open(t, a, seal(t, b, "", start), "", start)
	for _, end := range []struct{ from, to *Association }{{a, b}, {b, a}} {
		before := *copyKeys(end.to)
		for epoch := range 1 << 16 {
			pkt := seal(t, end.from, "", start)
			binary.BigEndian.PutUint16(pkt[2:], uint16(epoch))
			want := ErrEpoch
			switch {
			case epoch == 0:
				continue
			case epoch == 1 && end.to == b:
				want = ErrDecrypt
			}
			refuse(t, end.to, pkt, want, start)
		}
		if after := *copyKeys(end.to); after != before {
			t.Error("forged epochs moved the keys")
		}
	}
	open(t, b, seal(t, a, "fine", start), "fine", start)
	open(t, a, seal(t, b, "fine", start), "fine", start)
}

type keys struct {
	send, receive           [32]byte
	sendEpoch, receiveEpoch uint16
}

func copyKeys(a *Association) *keys {
	return &keys{a.sendKey, a.receiveKey, a.sendEpoch, a.receiveEpoch}
}

// TestLastEpoch: the last epoch is not left, since the next would be 0.
func TestLastEpoch(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	for _, end := range []*Association{a, b} {
		end.sendEpoch, end.receiveEpoch = lastEpoch-1, lastEpoch-1
	}
	now := start
	for n, want := range []uint16{lastEpoch - 1, lastEpoch, lastEpoch} {
		there := seal(t, a, "", now)
		open(t, b, there, "", now)
		open(t, a, seal(t, b, "", now), "", now)
		if epochOf(there) != want {
			t.Errorf("exchange %d in epoch %d, want %d", n, epochOf(there), want)
		}
		now = now.Add(epochTime)
	}
	forged := seal(t, a, "", now)
	binary.BigEndian.PutUint16(forged[2:], 0)
	refuse(t, b, forged, ErrEpoch, now)
}

func TestCounterExhaustion(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	a.counter = counterLimit - 1
	open(t, b, seal(t, a, "last", start), "last", start)
	for range 2 {
		if _, err := a.Seal(nil, nil, start); !errors.Is(err, ErrExhausted) {
			t.Errorf("after the last counter: %v", err)
		}
	}
	forged := append([]byte(nil), seal(t, b, "", start)...)
	binary.BigEndian.PutUint64(forged[8:], counterLimit)
	refuse(t, a, forged, ErrReplay, start)
}

// TestAssociationConcurrently: no nonce twice, no packet twice, no packet lost,
// across a change of epoch. The race detector watches.
func TestAssociationConcurrently(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	open(t, b, seal(t, a, "", start), "", start)
	open(t, a, seal(t, b, "", start), "", start)
	const workers, each = 4, 200
	var mu sync.Mutex
	opened := make(map[string]int)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				now := start.Add(time.Duration(n/100) * epochTime)
				pkt, err := a.Seal(nil, fmt.Append(nil, w, n), now)
				if err != nil {
					t.Error(err)
					return
				}
				for range 2 { // the second is a replay
					if msg, err := b.Open(nil, pkt, start); err == nil {
						mu.Lock()
						opened[string(msg)]++
						mu.Unlock()
					}
				}
				if back, err := b.Seal(nil, nil, now); err == nil {
					a.Open(nil, back, start)
				}
			}
		})
	}
	wg.Wait()
	if len(opened) != workers*each {
		t.Errorf("%d messages opened, want %d", len(opened), workers*each)
	}
	for msg, n := range opened {
		if n != 1 {
			t.Errorf("%s opened %d times", msg, n)
		}
	}
}

// TestOpenAtOnce: of copies that are opened at the same moment, one opens.
func TestOpenAtOnce(t *testing.T) {
	a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
	msg := strings.Repeat("long enough for the others to come by ", 30)
	for n := range 500 {
		pkt := seal(t, a, msg, start)
		var opened atomic.Int32
		var wg sync.WaitGroup
		gate := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				<-gate
				if _, err := b.Open(nil, pkt, start); err == nil {
					opened.Add(1)
				}
			})
		}
		close(gate)
		wg.Wait()
		if opened.Load() != 1 {
			t.Fatalf("packet %d opened %d times", n, opened.Load())
		}
	}
}

// TestRatchetRandomly sends both ways with loss, delay and time passing, within
// what the window and the grace allow: whatever is delivered opens, once.
func TestRatchetRandomly(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		a, b := associate(t, newLocal(t, 1), newLocal(t, 2))
		now := start
		type flight struct {
			to   *Association
			pkt  []byte
			sent time.Time
		}
		var flights []flight
		for range 2000 {
			now = now.Add(time.Duration(random.Int64N(int64(time.Minute))))
			from, to := a, b
			if random.IntN(2) == 0 {
				from, to = b, a
			}
			if random.IntN(3) > 0 { // a third is lost
				flights = append(flights, flight{to, seal(t, from, "", now), now})
			}
			for len(flights) > 0 && random.IntN(3) > 0 {
				n := random.IntN(len(flights))
				f := flights[n]
				flights = append(flights[:n], flights[n+1:]...)
				if now.Sub(f.sent) < epochGrace {
					open(t, f.to, f.pkt, "", now)
				}
			}
		}
		if a.sendEpoch < 10 {
			t.Errorf("seed %d: only %d epochs", seed, a.sendEpoch)
		}
	}
}

func TestAssociationHidesKeys(t *testing.T) {
	a, _ := associate(t, newLocal(t, 1), newLocal(t, 2))
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d", "%s"} {
		text := fmt.Sprintf(verb, a)
		if !strings.HasPrefix(text, "association 11 with ") || len(text) > 40 {
			t.Errorf("%s prints %q", verb, text)
		}
	}
}
