package netsim

import "slices"

// before reports whether sequence number a is before b (RFC 9293 §3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// later returns the later of two sequence numbers.
func later(a, b uint32) uint32 {
	if before(a, b) {
		return b
	}
	return a
}

// A byteQueue is bytes that are added at the end and taken at the front.
type byteQueue struct {
	b   []byte
	off int // what is before it has been taken
}

func (q *byteQueue) len() int { return len(q.b) - q.off }

func (q *byteQueue) add(b []byte) {
	if q.off > len(q.b)/2 && len(q.b)+len(b) > cap(q.b) {
		q.b = q.b[:copy(q.b, q.b[q.off:])]
		q.off = 0
	}
	q.b = append(q.b, b...)
}

// at returns up to n bytes from an offset on. They stay in the queue, and are valid
// until it changes.
func (q *byteQueue) at(offset, n int) []byte {
	b := q.b[q.off+offset:]
	return b[:min(n, len(b))]
}

// take removes n bytes.
func (q *byteQueue) take(n int) {
	q.off += n
	if q.off == len(q.b) {
		q.b, q.off = q.b[:0], 0
		if cap(q.b) > 256<<10 {
			q.b = nil // an idle connection keeps little
		}
	}
}

// A span is received data from a sequence number on.
type span struct {
	seq  uint32
	data []byte
}

func (s span) end() uint32 { return s.seq + uint32(len(s.data)) }

// spans are runs of data beyond a gap, in order, none over another. What is there stays when
// other data for the same place comes.
type spans []span

// add enters a copy of the parts of data that are new. It reports false if there is
// no room for them.
func (ss *spans) add(seq uint32, data []byte) bool {
	i := 0
	for len(data) > 0 {
		for i < len(*ss) && !before(seq, (*ss)[i].end()) {
			i++
		}
		part := data
		if i < len(*ss) {
			s := (*ss)[i]
			if !before(seq, s.seq) { // inside s
				skip := min(int(s.end()-seq), len(data))
				seq, data = seq+uint32(skip), data[skip:]
				continue
			}
			part = data[:min(int(s.seq-seq), len(data))]
		}
		switch {
		case i > 0 && (*ss)[i-1].end() == seq:
			(*ss)[i-1].data = append((*ss)[i-1].data, part...)
		case len(*ss) >= maxSpans:
			return false
		default:
			*ss = slices.Insert(*ss, i, span{seq, slices.Clone(part)})
		}
		seq, data = seq+uint32(len(part)), data[len(part):]
	}
	return true
}

// take removes and returns what follows on seq, or nothing.
func (ss *spans) take(seq uint32) []byte {
	for len(*ss) > 0 {
		s := (*ss)[0]
		if before(seq, s.seq) {
			return nil
		}
		*ss = slices.Delete(*ss, 0, 1)
		if before(seq, s.end()) {
			return s.data[seq-s.seq:]
		}
	}
	return nil
}

// around returns the unbroken range that seq is in, or false.
func (ss spans) around(seq uint32) (r SeqRange, ok bool) {
	i := slices.IndexFunc(ss, func(s span) bool { return !before(seq, s.seq) && before(seq, s.end()) })
	if i < 0 {
		return r, false
	}
	j := i
	for i > 0 && ss[i-1].end() == ss[i].seq {
		i--
	}
	for j+1 < len(ss) && ss[j].end() == ss[j+1].seq {
		j++
	}
	return SeqRange{ss[i].seq, ss[j].end()}, true
}
