package session

import "sync"

// recentCount is how many datagrams are sent again when the path changes
// (measured: it saves the seconds that PTO back-off would cost).
const recentCount = 8

// recentPackets remembers the last datagrams that went to a carrier, to send
// them again over a new path. A slot grows to the packet it holds, so an idle
// session keeps little more than its last few acknowledgements.
type recentPackets struct {
	mu    sync.Mutex
	slots [recentCount]struct {
		b   []byte
		ecn uint8
	}
	next int // slot to overwrite, the oldest
}

// add remembers the last packets of a run.
func (r *recentPackets) add(b []byte, segment int, ecn uint8) {
	if segment == 0 {
		segment = max(len(b), 1)
	}
	if n := (len(b) + segment - 1) / segment; n > recentCount {
		b = b[(n-recentCount)*segment:]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(b) > 0 {
		n := min(segment, len(b))
		s := &r.slots[r.next]
		s.b, s.ecn = append(s.b[:0], b[:n]...), ecn
		r.next = (r.next + 1) % recentCount
		b = b[n:]
	}
}

// replay calls write with a copy of each packet, oldest first, and holds no
// lock meanwhile.
func (r *recentPackets) replay(write func(b []byte, ecn uint8)) {
	var lens [recentCount]int
	var ecns [recentCount]uint8
	var all []byte
	r.mu.Lock()
	for i := range recentCount {
		s := &r.slots[(r.next+i)%recentCount]
		lens[i], ecns[i] = len(s.b), s.ecn
		all = append(all, s.b...)
	}
	r.mu.Unlock()
	for i, n := range lens {
		if n > 0 {
			write(all[:n:n], ecns[i])
			all = all[n:]
		}
	}
}
