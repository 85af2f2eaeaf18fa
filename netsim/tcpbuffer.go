package netsim

import (
	"slices"
	"sync"
)

// before reports whether sequence number a is before b (RFC 9293 §3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// later returns the later of two sequence numbers.
func later(a, b uint32) uint32 {
	if before(a, b) {
		return b
	}
	return a
}

// A byteQueue is bytes that are added at the end and taken at the front. What it holds
// is in chunks, so that it never moves and memory follows what there is.
type byteQueue struct {
	chunks []*chunk
	head   int    // what is before it, in the first chunk, has been taken
	size   int    // from there on
	joined []byte // for bytes that lie in several chunks
}

type chunk [16 << 10]byte

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

func (q *byteQueue) len() int { return q.size }

func (q *byteQueue) add(b []byte) {
	for len(b) > 0 {
		end := q.head + q.size
		if end == len(q.chunks)*len(chunk{}) {
			q.chunks = append(q.chunks, chunkPool.Get().(*chunk))
		}
		k := copy(q.chunks[end/len(chunk{})][end%len(chunk{}):], b)
		q.size += k
		b = b[k:]
	}
}

// at returns up to n bytes from an offset on. They stay in the queue, and are valid
// until its next call.
func (q *byteQueue) at(offset, n int) []byte {
	if n = min(n, q.size-offset); n <= 0 {
		return nil
	}
	at := q.head + offset
	b := q.chunks[at/len(chunk{})][at%len(chunk{}):]
	if len(b) >= n {
		return b[:n]
	}
	q.joined = append(q.joined[:0], b...)
	for i := at/len(chunk{}) + 1; len(q.joined) < n; i++ {
		q.joined = append(q.joined, q.chunks[i][:min(n-len(q.joined), len(chunk{}))]...)
	}
	return q.joined
}

// take removes n bytes.
func (q *byteQueue) take(n int) {
	q.head, q.size = q.head+n, q.size-n
	done := q.head / len(chunk{})
	if q.size == 0 {
		done = len(q.chunks)
	}
	for _, c := range q.chunks[:done] {
		chunkPool.Put(c)
	}
	q.chunks = slices.Delete(q.chunks, 0, done)
	if q.head -= done * len(chunk{}); q.size == 0 {
		q.head = 0
	}
}

// read moves bytes from the front to b.
func (q *byteQueue) read(b []byte) (n int) {
	for n < len(b) && q.size > 0 {
		k := copy(b[n:], q.chunks[0][q.head:min(len(chunk{}), q.head+q.size)])
		q.take(k)
		n += k
	}
	return n
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
