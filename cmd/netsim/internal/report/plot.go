package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
)

// The measures of plots, in units that are about a pixel on a wide page.
const (
	plotWidth  = 640
	plotHeight = 226
	plotLeft   = 44
	plotRight  = 16
	plotTop    = 50
	plotMark   = 14 // from one mark's text to the next
	plotBottom = 34
)

// A bin is one bar of a histogram: values from Low to below High. Some of them may be set off.
type bin struct {
	Low, High float64
	Count     int // with those that are set off
	Other     int // those
}

// bins sorts values, and others that are set off, into equal bins from 0, as wide as a round number that
// makes at most about most of them. whole says that there is nothing between whole numbers.
func bins(values, others []float64, most int, whole bool) []bin {
	top := 0.0
	for _, v := range slices.Concat(values, others) {
		top = max(top, v)
	}
	width := niceStep(top / float64(most))
	if whole {
		width = max(1, math.Ceil(width))
	}
	list := make([]bin, int(top/width)+1)
	for i := range list {
		list[i].Low, list[i].High = float64(i)*width, float64(i+1)*width
	}
	for _, v := range values {
		list[int(v/width)].Count++
	}
	for _, v := range others {
		list[int(v/width)].Count++
		list[int(v/width)].Other++
	}
	return list
}

// niceStep returns the least of 1, 2, 5 times a power of ten that is not below a value.
func niceStep(least float64) float64 {
	if least <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(least)))
	for _, f := range []float64{1, 2, 5} {
		if f*p >= least {
			return f * p
		}
	}
	return 10 * p
}

// A mark is a line across a histogram.
type mark struct {
	At   float64
	Text string
}

// histogram draws bins. unit is that of the values, and follows what it belongs to.
func histogram(label string, list []bin, marks []mark, unit string) template.HTML {
	var b strings.Builder
	most, total := 0, 0
	for _, x := range list {
		most = max(most, x.Count)
		total += x.Count
	}
	if total == 0 {
		return ""
	}
	open(&b, "plot fit", plotWidth, plotHeight, label)
	width, height := float64(plotWidth-plotLeft-plotRight), float64(plotHeight-plotTop-plotBottom)
	span := list[len(list)-1].High
	x := func(v float64) float64 { return plotLeft + width*v/span }
	base := plotTop + height
	step := max(1, niceStep(float64(most)/5))
	for v := 0.0; v <= float64(most); v += step {
		y := base - height*v/float64(most)
		fmt.Fprintf(&b, `<line class="axis" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/><text class="soft" x="%d" y="%.1f" text-anchor="end">%.0f</text>`, plotLeft, y, plotWidth-plotRight, y, plotLeft-6, y+4, v)
	}
	for _, r := range list {
		h := height * float64(r.Count) / float64(most)
		title := fmt.Sprintf("%s to below %s%s: %d of %d dials", number(r.Low), number(r.High), unit, r.Count, total)
		if r.Other > 0 {
			title += fmt.Sprintf(", %d of them failed", r.Other)
		}
		other := h * float64(r.Other) / float64(max(r.Count, 1))
		fmt.Fprintf(&b, `<g><title>%s</title>`, html.EscapeString(title))
		for _, part := range []struct {
			class   string
			y, high float64
		}{{"bar", base - h + other, h - other}, {"bar2", base - h, other}} {
			if part.high > 0 {
				fmt.Fprintf(&b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, part.class, x(r.Low)+.5, part.y, max(x(r.High)-x(r.Low)-1, 1), part.high)
			}
		}
		b.WriteString("</g>")
	}
	tick := niceStep(span / 7)
	for v := 0.0; v <= span*1.0001; v += tick {
		fmt.Fprintf(&b, `<text class="soft" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x(v), base+16, number(v))
	}
	fmt.Fprintf(&b, `<text class="soft" x="%d" y="%.1f" text-anchor="end">%s</text>`, plotWidth-plotRight, base+30, strings.TrimSpace(unit))
	for row, m := range marks {
		anchor, dx, at := "start", 4.0, x(m.At)
		if at > plotWidth-130 {
			anchor, dx = "end", -4
		}
		y := plotMark * (row%3 + 1)
		fmt.Fprintf(&b, `<line class="mark" x1="%.1f" y1="%d" x2="%.1f" y2="%.1f"/><text x="%.1f" y="%d" text-anchor="%s">%s</text>`, at, y-10, at, base, at+dx, y, anchor, html.EscapeString(m.Text))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// number is a value on an axis, or one of a network: no exponent, since nobody calls a gigabit 1e+03 Mbit.
func number(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

// open begins an SVG element.
func open(b *strings.Builder, class string, width, height int, label string) {
	fmt.Fprintf(b, `<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="%s">`, class, width, height, html.EscapeString(label))
}

// A strip is a line of a plot of spreads: sorted times under a name.
type strip struct {
	Name   string
	Values []time.Duration
}

const (
	stripName   = 184
	stripNumber = 158
	stripRow    = 28
)

// spreads draws, for each strip, each value as a dot, and the median.
func spreads(label string, list []strip) template.HTML {
	var b strings.Builder
	top := time.Duration(0)
	for _, s := range list {
		if n := len(s.Values); n > 0 {
			top = max(top, s.Values[n-1])
		}
	}
	if top == 0 {
		return ""
	}
	height := 26 + stripRow*len(list) + 8
	open(&b, "plot fit", plotWidth, height, label)
	width := float64(plotWidth - stripName - stripNumber)
	tick := niceStep(top.Seconds() * 1e3 / 4)
	span := math.Ceil(top.Seconds()*1e3/tick) * tick
	x := func(d time.Duration) float64 { return stripName + width*d.Seconds()*1e3/span }
	for v := 0.0; v <= span*1.0001; v += tick {
		at := stripName + width*v/span
		fmt.Fprintf(&b, `<line class="axis" x1="%.1f" y1="20" x2="%.1f" y2="%d"/><text class="soft" x="%.1f" y="13" text-anchor="middle">%s</text>`, at, at, height-6, at, number(v))
	}
	fmt.Fprintf(&b, `<text class="soft" x="%d" y="13" text-anchor="end">p50 / p95 / p99</text>`, plotWidth-4)
	for i, s := range list {
		y := 26 + stripRow*i + stripRow/2
		fmt.Fprintf(&b, `<g><title>%s</title><text x="%d" y="%d" text-anchor="end">%s</text>`, html.EscapeString(fmt.Sprintf("%s: %d dials that met", s.Name, len(s.Values))), stripName-10, y+4, html.EscapeString(s.Name))
		if len(s.Values) == 0 {
			fmt.Fprintf(&b, `<text class="soft" x="%d" y="%d">none met</text></g>`, stripName+4, y+4)
			continue
		}
		// A dot for each value that is not where the last one is.
		last := math.Inf(-1)
		for _, v := range s.Values {
			if at := x(v); at-last >= 1 {
				fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="%d" r="3.5"/>`, at, y)
				last = at
			}
		}
		m := x(grid.Percentile(s.Values, 50))
		fmt.Fprintf(&b, `<line class="median" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`, m, y-8, m, y+8)
		ms := func(p float64) float64 { return grid.Percentile(s.Values, p).Seconds() * 1e3 }
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.0f / %.0f / %.0f</text></g>`, plotWidth-4, y+4, ms(50), ms(95), ms(99))
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}
