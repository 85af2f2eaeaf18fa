package grid

import (
	"strconv"
	"time"
)

// JSON returns the table as programs read it: times in milliseconds, shares from 0 to 1.
func (t *Table) JSON() any {
	s := t.Total()
	out := jsonTable{
		Presets: t.Presets, Seeds: t.Seeds, FirstSeed: strconv.FormatUint(t.First, 10), Loss: t.Loss, PN: t.PN, TookSeconds: t.Took.Seconds(), VirtualSeconds: t.Virtual.Seconds(),
		Dials: s.Dials, Direct: s.Direct, Relayed: s.Relayed, Failed: s.Failed, FirstByte: percentiles(s.FirstBytes),
	}
	for i := range t.Cells {
		for j := range t.Cells[i] {
			out.Cells = append(out.Cells, t.Cells[i][j].json())
		}
	}
	return out
}

// A jsonTable is a Table as JSON.
type jsonTable struct {
	Presets        []string         `json:"presets"`
	Seeds          int              `json:"seeds"`
	FirstSeed      string           `json:"first_seed"` // a string: JSON has no 64 bits
	Loss           float64          `json:"loss"`
	PN             bool             `json:"pn"`
	TookSeconds    float64          `json:"took_s"`
	VirtualSeconds float64          `json:"virtual_s"`
	Dials          int              `json:"dials"`
	Direct         int              `json:"direct"`
	Relayed        int              `json:"relayed"`
	Failed         int              `json:"failed"`
	FirstByte      *jsonPercentiles `json:"first_byte_ms"`
	Cells          []jsonCell       `json:"cells"`
}

type jsonCell struct {
	Caller    string           `json:"caller"`
	Callee    string           `json:"callee"`
	Direct    float64          `json:"direct"`
	Relayed   float64          `json:"relayed"`
	Failed    float64          `json:"failed"`
	FirstByte *jsonPercentiles `json:"first_byte_ms"` // null: none met
	Probes    float64          `json:"probes"`        // mean
	Failure   string           `json:"failure,omitempty"`
	Expected  string           `json:"expected,omitempty"` // "direct", "not direct"
	Reason    string           `json:"reason,omitempty"`
	Met       bool             `json:"met"`
}

type jsonPercentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

func percentiles(sorted []time.Duration) *jsonPercentiles {
	if len(sorted) == 0 {
		return nil
	}
	ms := func(p float64) float64 { return Percentile(sorted, p).Seconds() * 1e3 }
	return &jsonPercentiles{ms(50), ms(95), ms(99)}
}

func (c *Cell) json() jsonCell {
	direct, relayed, failed := c.Count()
	n := float64(len(c.Dials))
	out := jsonCell{
		Caller: c.Caller, Callee: c.Callee, Direct: float64(direct) / n, Relayed: float64(relayed) / n, Failed: float64(failed) / n,
		FirstByte: percentiles(c.FirstBytes()), Probes: c.Probes(), Failure: c.Failure(), Met: c.Met(),
	}
	if c.Expected != nil {
		out.Expected, out.Reason = "not direct", c.Expected.Reason
		if c.Expected.Direct {
			out.Expected = "direct"
		}
	}
	return out
}
