package bdt

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/bdtnet/bdt/internal/session"
)

// Bounds on what the peer of a session can make its flows hold.
const (
	// maxFlows is how many flows of one session a peer may have open.
	maxFlows = 1024
	// maxFlowQueue is how many datagrams of a flow wait for Receive.
	maxFlowQueue = 128
	// maxFlowBytes bounds all that wait in a session, with their overhead.
	maxFlowBytes = 4 << 20
	// maxEarlyDatagrams is how many wait for the stream that they belong to: a
	// datagram may be ahead of it.
	maxEarlyDatagrams = 64
	// datagramOverhead is what holding one takes beside its bytes.
	datagramOverhead = 64
)

// flows is the flows of one session.
type flows struct {
	session session.Session

	mu      sync.Mutex
	started bool // receiving: nothing is before there is a flow
	byID    map[uint64]*DatagramConn
	opened  map[uint64]bool // those that the peer opened; at most maxFlows
	early   []earlyDatagram // oldest first
	queued  int             // bytes that wait in queues, with overhead
	dropped uint64          // datagrams for which there was no flow, or no room
}

// An earlyDatagram waits for its flow.
type earlyDatagram struct {
	id uint64
	b  []byte
}

// add adds a flow, with the datagrams that were ahead of it. It reports false if
// the peer has too many.
func (f *flows) add(c *DatagramConn, byPeer bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if byPeer && len(f.opened) >= maxFlows {
		return false
	}
	if f.byID == nil {
		f.byID, f.opened = make(map[uint64]*DatagramConn), make(map[uint64]bool)
	}
	f.byID[c.id] = c
	if byPeer {
		f.opened[c.id] = true
	}
	f.early = slices.DeleteFunc(f.early, func(e earlyDatagram) bool {
		if e.id == c.id {
			f.pushLocked(c, e.b)
		}
		return e.id == c.id
	})
	return true
}

// removeLocked forgets a flow. What it has queued it keeps.
func (f *flows) removeLocked(c *DatagramConn) {
	if f.byID[c.id] == c {
		delete(f.byID, c.id)
		delete(f.opened, c.id)
	}
}

// clearLocked drops what a flow has queued.
func (f *flows) clearLocked(c *DatagramConn) {
	for len(c.queue) > 0 {
		f.popLocked(c)
	}
	c.queue = nil
}

// take returns a flow's oldest datagram, nil if there is none.
func (f *flows) take(c *DatagramConn) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(c.queue) == 0 {
		return nil
	}
	b := f.popLocked(c)
	if len(c.queue) > 0 {
		signal(c.ready) // another Receive may wait
	}
	return b
}

func (f *flows) popLocked(c *DatagramConn) []byte {
	b := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	f.queued -= len(b) + datagramOverhead
	return b
}

// pushLocked queues a datagram, at the cost of the flow's oldest if there is no
// room: what is fresh is worth more.
func (f *flows) pushLocked(c *DatagramConn, b []byte) {
	for len(c.queue) > 0 && (len(c.queue) >= maxFlowQueue || f.queued+len(b)+datagramOverhead > maxFlowBytes) {
		f.popLocked(c)
		f.dropped++
		c.dropped.Add(1)
	}
	if f.queued+len(b)+datagramOverhead > maxFlowBytes {
		f.dropped++
		c.dropped.Add(1)
		return
	}
	c.queue = append(c.queue, b)
	f.queued += len(b) + datagramOverhead
	signal(c.ready)
}

// deliver gives a datagram to its flow, or keeps it for a while if there is none
// yet. It takes b.
func (f *flows) deliver(b []byte) {
	id, data, ok := readFlowID(b)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !ok {
		f.dropped++
		return
	}
	if c := f.byID[id]; c != nil {
		f.pushLocked(c, data)
		return
	}
	if len(f.early) >= maxEarlyDatagrams {
		f.early = slices.Delete(f.early, 0, 1)
		f.dropped++
	}
	f.early = append(f.early, earlyDatagram{id, data})
}

// drops counts the datagrams for which there was no flow, or no room.
func (f *flows) drops() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dropped
}

// receiveDatagrams starts to take the datagrams of a session that has its first
// flow. Until then the engine holds a few.
func (s *Stack) receiveDatagrams(ss *streams) {
	f := &ss.flows
	f.mu.Lock()
	started := f.started
	f.started = true
	f.mu.Unlock()
	if started {
		return
	}
	s.work(func() {
		for {
			b, err := ss.session.ReceiveDatagram(s.ctx)
			if err != nil {
				return
			}
			f.deliver(b)
		}
	})
}

// signal puts a value into a channel that takes one, unless it is there.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// maxFlowID is the largest id that a flow may have.
const maxFlowID = 1<<62 - 1

// appendFlowID appends a flow's id as a QUIC variable-length integer (RFC 9000 §16).
func appendFlowID(b []byte, id uint64) []byte {
	switch {
	case id < 1<<6:
		return append(b, byte(id))
	case id < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(id)|1<<14)
	case id < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(id)|2<<30)
	}
	return binary.BigEndian.AppendUint64(b, min(id, maxFlowID)|3<<62)
}

// readFlowID reads the id that begins a datagram. The rest is not nil and aliases b.
func readFlowID(b []byte) (id uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	n := 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, nil, false
	}
	id = uint64(b[0] & 0x3f)
	for _, v := range b[1:n] {
		id = id<<8 | uint64(v)
	}
	return id, b[n:], true
}
