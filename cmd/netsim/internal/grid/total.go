package grid

import (
	"cmp"
	"slices"
	"time"
)

// A Total is what holds of all pairs together.
type Total struct {
	Dials, Direct, Relayed, Failed int
	FirstBytes                     []time.Duration // of those that met, in order
	Reasons                        []Reason        // the most frequent first
}

// A Reason is why some pairs cannot go direct.
type Reason struct {
	Text  string
	Pairs int
}

// Total counts all pairs together.
func (t *Table) Total() Total {
	var s Total
	pairs := make(map[string]int)
	for i := range t.Cells {
		for j := range t.Cells[i] {
			c := &t.Cells[i][j]
			direct, relayed, failed := c.Count()
			s.Dials += len(c.Dials)
			s.Direct += direct
			s.Relayed += relayed
			s.Failed += failed
			s.FirstBytes = append(s.FirstBytes, c.FirstBytes()...)
			if c.Expected != nil && !c.Expected.Direct {
				pairs[c.Expected.Reason]++
			}
		}
	}
	slices.Sort(s.FirstBytes)
	for text, n := range pairs {
		s.Reasons = append(s.Reasons, Reason{text, n})
	}
	slices.SortFunc(s.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Pairs, a.Pairs), cmp.Compare(a.Text, b.Text))
	})
	return s
}
