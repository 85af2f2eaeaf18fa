package bdt

import (
	"bytes"
	"io"
	"testing"
)

// The ids of RFC 9000 §A.1.
func TestFlowID(t *testing.T) {
	for _, tt := range []struct {
		id uint64
		b  []byte
	}{
		{0, []byte{0}},
		{37, []byte{0x25}},
		{63, []byte{0x3f}},
		{64, []byte{0x40, 0x40}},
		{15_293, []byte{0x7b, 0xbd}},
		{494_878_333, []byte{0x9d, 0x7f, 0x3e, 0x7d}},
		{151_288_809_941_952_652, []byte{0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}},
		{maxFlowID, bytes.Repeat([]byte{0xff}, 8)},
	} {
		if got := appendFlowID(nil, tt.id); !bytes.Equal(got, tt.b) {
			t.Errorf("%d is %x, want %x", tt.id, got, tt.b)
		}
		id, rest, ok := readFlowID(append(bytes.Clone(tt.b), 'x'))
		if id != tt.id || string(rest) != "x" || !ok {
			t.Errorf("%x reads as %d, %q, %v", tt.b, id, rest, ok)
		}
		for n := range tt.b {
			if _, _, ok := readFlowID(tt.b[:n]); ok {
				t.Errorf("%x cut to %d is an id", tt.b, n)
			}
		}
	}
}

// FuzzFlows has datagrams of any bytes come to two flows, in any order with the
// opening and closing of them: what is held stays in bounds, what a flow receives was
// sent to it.
func FuzzFlows(f *testing.F) {
	f.Add([]byte{2, 0, 'a'}, []byte{0, 1, 2})
	f.Add([]byte{1, 0x40}, []byte{2, 2, 1, 3})
	f.Add([]byte{9, 0xc0, 0, 0, 0, 0, 0, 0, 1, 'b'}, []byte{2, 0, 2, 1})
	f.Fuzz(func(t *testing.T, stream, steps []byte) {
		var fl flows
		flow := func(id uint64) *DatagramConn {
			return &DatagramConn{flows: &fl, id: id, ready: make(chan struct{}, 1), done: make(chan struct{})}
		}
		conns := map[uint64]*DatagramConn{}
		for _, step := range steps {
			id := uint64(step >> 2 & 1)
			switch step & 3 {
			case 0:
				if conns[id] == nil {
					conns[id] = flow(id)
					fl.add(conns[id], step&8 != 0)
				}
			case 1:
				if c := conns[id]; c != nil {
					if step&8 != 0 {
						c.end(io.EOF) // the peer was first
					}
					c.end(ErrClosed)
					delete(conns, id)
				}
			case 2:
				if len(stream) > 0 {
					n := min(int(stream[0]), len(stream)-1)
					fl.deliver(bytes.Clone(stream[1 : 1+n]))
					stream = stream[1+n:]
				}
			case 3:
				for c := conns[id]; c != nil; {
					if fl.take(c) == nil {
						break
					}
				}
			}
			queued := 0
			for _, c := range fl.byID {
				if len(c.queue) > maxFlowQueue {
					t.Fatalf("%d datagrams are queued", len(c.queue))
				}
				for _, b := range c.queue {
					queued += len(b) + datagramOverhead
				}
			}
			if queued != fl.queued || queued > maxFlowBytes || len(fl.early) > maxEarlyDatagrams || len(fl.byID) != len(conns) {
				t.Fatalf("%d bytes queued, counted as %d; %d early; %d flows of %d", queued, fl.queued, len(fl.early), len(fl.byID), len(conns))
			}
		}
	})
}
