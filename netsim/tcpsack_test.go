package netsim

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"
)

// TestScoreboard: ranges merge, and go as they are acknowledged, also where sequence
// numbers begin again.
func TestScoreboard(t *testing.T) {
	for _, base := range []uint32{0, 1 << 31, ^uint32(0) - 250} {
		at := func(first, end uint32) SeqRange { return SeqRange{base + first, base + end} }
		var b scoreboard
		for _, step := range []struct {
			add  SeqRange
			want []SeqRange
		}{
			{at(100, 200), []SeqRange{at(100, 200)}},
			{at(300, 400), []SeqRange{at(100, 200), at(300, 400)}},
			{at(150, 160), []SeqRange{at(100, 200), at(300, 400)}},
			{at(200, 210), []SeqRange{at(100, 210), at(300, 400)}},
			{at(500, 600), []SeqRange{at(100, 210), at(300, 400), at(500, 600)}},
			{at(290, 501), []SeqRange{at(100, 210), at(290, 600)}},
			{at(50, 700), []SeqRange{at(50, 700)}},
		} {
			if b.add(step.add); !slices.Equal([]SeqRange(b), step.want) {
				t.Fatalf("base %d: with %v: %v, want %v", base, step.add, b, step.want)
			}
		}
		b = scoreboard{at(100, 200), at(300, 400)}
		if k := b.prune(base + 50); k != 0 || len(b) != 2 {
			t.Errorf("base %d: prune before all took %d and left %v", base, k, b)
		}
		if k := b.prune(base + 200); k != 100 || !slices.Equal([]SeqRange(b), []SeqRange{at(300, 400)}) {
			t.Errorf("base %d: prune took %d and left %v", base, k, b)
		}
		if k := b.prune(base + 350); k != 0 || len(b) != 0 {
			t.Errorf("base %d: an acknowledgement amid a range took %d and left %v, want all gone", base, k, b)
		}
	}
}

// TestScoreboardBound: a peer cannot have it grow without end.
func TestScoreboardBound(t *testing.T) {
	var b scoreboard
	for i := range uint32(3 * maxSpans) {
		b.add(SeqRange{i * 4, i*4 + 1})
	}
	if len(b) != maxSpans {
		t.Errorf("%d ranges, want %d", len(b), maxSpans)
	}
}

// TestSurvey: what is lost, and what is on its way, by RFC 6675 §4.
func TestSurvey(t *testing.T) {
	sender := func(f func(*tcpSender)) *tcpSender {
		s := &tcpSender{una: 1000, nxt: 11000, mss: 1000, lostBelow: 1000, sentAgain: 1000}
		f(s)
		return s
	}
	for _, c := range []struct {
		name string
		s    *tcpSender
		want survey
	}{
		{"nothing received", sender(func(s *tcpSender) {}), survey{pipe: 10000}},
		{"two segments beyond", sender(func(s *tcpSender) { s.sacked = scoreboard{{2000, 4000}} }), survey{pipe: 8000}},
		{"three segments beyond", sender(func(s *tcpSender) { s.sacked = scoreboard{{2000, 5000}} }),
			survey{pipe: 6000, lost: SeqRange{1000, 2000}, first: true}},
		{"three ranges beyond", sender(func(s *tcpSender) { s.sacked = scoreboard{{2000, 2001}, {3000, 3001}, {4000, 4001}} }),
			survey{pipe: 10000 - 3 - 1000, lost: SeqRange{1000, 2000}, first: true}},
		{"sent again", sender(func(s *tcpSender) { s.sacked = scoreboard{{2000, 5000}}; s.sentAgain = 2000 }),
			survey{pipe: 7000, first: true}},
		{"the second gap is next", sender(func(s *tcpSender) { s.sacked = scoreboard{{2000, 3000}, {4000, 8000}}; s.sentAgain = 2000 }),
			survey{pipe: 1000 + 3000, lost: SeqRange{3000, 4000}, first: true}},
		{"the timer gave up", sender(func(s *tcpSender) { s.lostBelow = 11000 }),
			survey{lost: SeqRange{1000, 11000}, first: true}},
		{"the timer gave up, and new was sent", sender(func(s *tcpSender) { s.lostBelow, s.sentAgain = 5000, 2000 }),
			survey{pipe: 7000, lost: SeqRange{2000, 5000}, first: true}},
	} {
		if got := c.s.survey(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestSpans: whatever the order and the overlaps, each byte is taken once, in order.
func TestSpans(t *testing.T) {
	want := noise(4096)
	for seed := range uint64(200) {
		base := uint32(mix(seed, 99))
		var ss spans
		for i := range uint64(64) {
			first := mix(seed, i) % 4096
			size := mix(seed, i, 1) % 200
			end := min(first+size, 4096)
			ss.add(base+uint32(first), want[first:end])
		}
		for i := range ss {
			if i > 0 && before(ss[i].seq, ss[i-1].end()) {
				t.Fatalf("seed %d: run %d begins before the end of the one before", seed, i)
			}
		}
		var got []byte
		for len(got) < len(want) {
			next := ss.take(base + uint32(len(got)))
			if next == nil {
				next = want[len(got) : len(got)+1]
			}
			got = append(got, next...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: took other bytes than were added", seed)
		}
	}
}

// TestByteQueue: it gives what was added, in order, whatever the pieces.
func TestByteQueue(t *testing.T) {
	want := noise(300_000)
	var q byteQueue
	added, taken := 0, 0
	for i := uint64(0); taken < len(want); i++ {
		size := int(mix(i) % 40_000)
		switch mix(i, 1) % 4 {
		case 0, 1:
			size = min(size, len(want)-added)
			q.add(want[added : added+size])
			added += size
		case 2:
			b := make([]byte, size)
			k := q.read(b)
			if !bytes.Equal(b[:k], want[taken:taken+k]) || k != min(size, added-taken) {
				t.Fatalf("read %d bytes at %d, of %d, that are not those added", k, taken, added-taken)
			}
			taken += k
		default:
			k := min(size, added-taken)
			q.take(k)
			taken += k
		}
		if q.len() != added-taken {
			t.Fatalf("%d bytes, want %d", q.len(), added-taken)
		}
		if offset := int(mix(i, 2) % 40_000); offset <= q.len() {
			b := q.at(offset, size)
			if !bytes.Equal(b, want[taken+offset:min(taken+offset+size, added)]) {
				t.Fatalf("at %d: not what was added", offset)
			}
		}
		if most := q.len()/len(chunk{}) + 2; len(q.chunks) > most {
			t.Fatalf("%d chunks for %d bytes", len(q.chunks), q.len())
		}
	}
	if len(q.chunks) > 0 || q.head != 0 {
		t.Errorf("empty, it keeps %d chunks", len(q.chunks))
	}
}

// TestTCPOptions: they are on the wire as the RFCs have them.
func TestTCPOptions(t *testing.T) {
	for _, c := range []struct {
		t    TCPHeader
		want string
	}{
		{TCPHeader{Flags: ACK}, ""},
		{TCPHeader{Flags: SYN, MSS: 1460}, "020405b4" + "0103030a" + "01010402"},
		{TCPHeader{Flags: ACK, SACK: []SeqRange{{1, 2}, {0x10000000, 0x20000000}}}, "01010512" + "00000001" + "00000002" + "10000000" + "20000000"},
	} {
		b := c.t.appendOptions(nil)
		if got := hex.EncodeToString(b); got != c.want || c.t.optionSize() != len(b) {
			t.Errorf("%+v: %s (%d bytes said), want %s", c.t, got, c.t.optionSize(), c.want)
		}
	}
}
