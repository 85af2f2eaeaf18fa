package netsim

import "slices"

// A SeqRange is sequence numbers from First up to but not including End, a block of a
// selective acknowledgement (RFC 2018 §3).
type SeqRange struct{ First, End uint32 }

func (r SeqRange) len() int { return int(r.End - r.First) }

// maxSACK is how many blocks the options have room for.
const maxSACK = 4

// A scoreboard is what the peer has received beyond what it acknowledges (RFC 6675
// §3): ranges in order and apart.
type scoreboard []SeqRange

// add enters a range.
func (b *scoreboard) add(r SeqRange) {
	i := 0
	for i < len(*b) && before((*b)[i].End, r.First) {
		i++
	}
	j := i
	for ; j < len(*b) && !before(r.End, (*b)[j].First); j++ {
		if before((*b)[j].First, r.First) {
			r.First = (*b)[j].First
		}
		r.End = later(r.End, (*b)[j].End)
	}
	if i == j && len(*b) >= maxSpans {
		return // it will be said again
	}
	*b = slices.Replace(*b, i, j, r)
}

// prune removes what is before ack, and returns how many bytes that was. If the peer
// takes back what it said, all goes.
func (b *scoreboard) prune(ack uint32) (bytes int) {
	for len(*b) > 0 {
		switch first := (*b)[0]; {
		case before(ack, first.First):
			return bytes
		case !before(ack, first.End):
			bytes += first.len()
			*b = slices.Delete(*b, 0, 1)
		default:
			*b = nil
		}
	}
	return bytes
}

// A survey is what the scoreboard says about the data on its way (RFC 6675 §4).
type survey struct {
	pipe  int      // bytes that are on their way, as far as can be known
	lost  SeqRange // the first that are lost and were not sent again; empty: none
	first bool     // una is lost
}

// survey counts. Bytes are lost if three ranges, or more than two segments' worth of
// bytes, have been received beyond them, or if the timer said so.
func (s *tcpSender) survey() (v survey) {
	top, above := s.nxt, 0
	for i := len(s.sacked) - 1; i >= -1; i-- {
		gap := SeqRange{s.una, top}
		if i >= 0 {
			gap.First = s.sacked[i].End
		}
		lost := gap // the part of it
		if ranges := len(s.sacked) - 1 - i; ranges < 3 && above <= 2*s.mss {
			if lost.End = later(s.lostBelow, gap.First); before(gap.End, lost.End) {
				lost.End = gap.End
			}
		}
		again := later(s.sentAgain, lost.First)
		if before(lost.End, again) {
			again = lost.End
		}
		v.pipe += int(gap.End-lost.End) + int(again-lost.First)
		if again != lost.End {
			v.lost = SeqRange{again, lost.End}
		}
		if i < 0 {
			v.first = lost.First != lost.End
			break
		}
		above += s.sacked[i].len()
		top = s.sacked[i].First
	}
	return v
}
