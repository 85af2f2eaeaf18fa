package noise

// windowSize is how many counters back a packet may come late (spec §9).
const windowSize = 2048

// A window tells counters that were seen from those that were not, in the manner
// of RFC 6479: a ring of bits, of which those behind the highest counter seen
// and within windowSize of it are valid. Unlike there, the ring holds exactly
// windowSize bits, and counters skipped are cleared one by one. The zero window
// has seen nothing.
type window struct {
	next uint64 // one above the highest counter seen
	ring [windowSize / 64]uint64
}

func (w *window) bit(counter uint64) (word *uint64, mask uint64) {
	return &w.ring[counter/64%uint64(len(w.ring))], 1 << (counter % 64)
}

// fresh reports whether counter was not seen and is not too old to tell.
func (w *window) fresh(counter uint64) bool {
	if counter >= w.next {
		return true
	}
	word, mask := w.bit(counter)
	return w.next-counter <= windowSize && *word&mask == 0
}

// see marks a counter that fresh has approved and whose packet has opened.
func (w *window) see(counter uint64) {
	if counter >= w.next {
		if counter-w.next >= windowSize {
			clear(w.ring[:])
		} else {
			for c := w.next; c < counter; c++ {
				word, mask := w.bit(c)
				*word &^= mask
			}
		}
		w.next = counter + 1
	}
	word, mask := w.bit(counter)
	*word |= mask
}

// skip marks all counters below next as seen, if none so high was seen.
func (w *window) skip(next uint64) {
	if next <= w.next {
		return
	}
	w.next = next
	for i := range w.ring {
		w.ring[i] = ^uint64(0)
	}
}
