package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
)

// A heat is the heat map of a grid.
type heat struct {
	Names []string
	Rows  []heatRow
}

type heatRow struct {
	Name  string
	Cells []heatCell
}

type heatCell struct{ Class, Title, Value, Letter string }

// newHeat returns the heat map, with the letters of reasons.
func newHeat(t *grid.Table, letters map[string]string) *heat {
	h := &heat{Names: t.Presets}
	for i, cells := range t.Cells {
		row := heatRow{Name: t.Presets[i]}
		for j := range cells {
			row.Cells = append(row.Cells, newHeatCell(&cells[j], letters))
		}
		h.Rows = append(h.Rows, row)
	}
	return h
}

func newHeatCell(c *grid.Cell, letters map[string]string) heatCell {
	direct, relayed, failed := c.Count()
	out := heatCell{Value: fmt.Sprintf("%.0f", percent(direct, len(c.Dials))), Class: heatClass(direct, len(c.Dials))}
	lines := []string{
		fmt.Sprintf("%s to %s", c.Caller, c.Callee),
		fmt.Sprintf("%d of %d direct, %d relayed, %d failed", direct, len(c.Dials), relayed, failed),
	}
	if first := c.FirstBytes(); len(first) > 0 {
		lines = append(lines, fmt.Sprintf("first byte after %s (p50), %s (p95), %s (p99)", atPercent(first, 50), atPercent(first, 95), atPercent(first, 99)))
	}
	lines = append(lines, fmt.Sprintf("%.1f probes a dial", c.Probes()))
	if text := c.Failure(); text != "" {
		lines = append(lines, text)
	}
	if c.Expected != nil && !c.Expected.Direct {
		out.Letter = letters[c.Expected.Reason]
	}
	if !c.Met() {
		out.Class += " miss"
		lines = append(lines, "not as expected")
	}
	out.Title = strings.Join(lines, "\n")
	return out
}

// heatClass returns the class of a share: of h0 for none to h5 for all.
func heatClass(n, of int) string {
	switch {
	case n == 0:
		return "h0"
	case n == of:
		return "h5"
	}
	return fmt.Sprintf("h%d", 1+4*n/of)
}

// percent returns a share of 100; 0 of nothing.
func percent(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// atPercent is a percentile of sorted times, for people.
func atPercent(sorted []time.Duration, p float64) string {
	if len(sorted) == 0 {
		return "–"
	}
	return milliseconds(grid.Percentile(sorted, p))
}

// milliseconds is a time for people.
func milliseconds(d time.Duration) string { return fmt.Sprintf("%.0f ms", d.Seconds()*1e3) }
