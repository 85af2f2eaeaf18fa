package pnclient

import (
	"bytes"
	"testing"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// A sinkFunc is a sink.
type sinkFunc struct {
	f func(b []byte, size int)
}

func (s *sinkFunc) Deliver(b []byte, size int, _ uint8) { s.f(b, size) }

// packetsOf cuts a run into its packets.
func packetsOf(b []byte, size int) (list [][]byte) {
	if size <= 0 {
		size = max(len(b), 1)
	}
	for len(b) > 0 {
		n := min(size, len(b))
		list = append(list, bytes.Clone(b[:n]))
		b = b[n:]
	}
	return list
}

// FuzzDeliver: what is delivered of a run are the packets in it that are well formed and of a
// binding, in order, without what the relay has added.
func FuzzDeliver(f *testing.F) {
	one, two := wire.Tag{1}, wire.Tag{2}
	packet := func(t wire.Tag, payload string) []byte { return append(wire.AppendRelayedHeader(nil, t), payload...) }
	f.Add(packet(one, "hello"), 0)
	f.Add(bytes.Join([][]byte{packet(one, "hello"), packet(one, "again"), packet(two, "other"), packet(one, "end")}, nil), 25)
	f.Add(append(packet(one, "hello"), packet(wire.Tag{3}, "nobody")...), 25)
	f.Add(append(packet(one, "hello"), 0x2a), 25)
	f.Fuzz(func(t *testing.T, run []byte, size int) {
		if len(run) > 4096 {
			return
		}
		var want, got [][]byte
		for _, p := range packetsOf(run, size) {
			if m, err := wire.ParseRelayed(p); err == nil && (m.Tag == one || m.Tag == two) {
				want = append(want, append([]byte{m.Tag[0]}, m.Packet...))
			}
		}
		c := New(Config{Ref: identity.Ref{}})
		for _, tag := range []wire.Tag{one, two} {
			o := BindOptions{Tag: tag, Sink: &sinkFunc{func(b []byte, size int) {
				for _, p := range packetsOf(b, size) {
					got = append(got, append([]byte{tag[0]}, p...))
				}
			}}}
			if _, err := c.Bind(o); err != nil {
				t.Fatal(err)
			}
		}
		c.Deliver(bytes.Clone(run), size, 0)
		if len(got) != len(want) {
			t.Fatalf("%d packets of %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("packet %d is %x, want %x", i, got[i], want[i])
			}
		}
	})
}
