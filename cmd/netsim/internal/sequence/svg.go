package sequence

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// The measures of a diagram in SVG, in units of about a pixel.
const (
	svgClock = 74  // left of the first lane
	svgLane  = 132 // from one lane to the next
	svgHead  = 34
	svgRow   = 30
	svgRight = 96
)

// ClassID returns what the elements of a class have as their class in SVG.
func (c Class) ClassID() string { return fmt.Sprintf("k%d", c) }

// SVG returns the diagram as an SVG element for a page. What is drawn has the classes
// lane, arrow, drop, note, clock and text, and that of [Class.ClassID], which the page's style sheet
// gives their colours; a title tells the addresses of each packet.
func (d *Diagram) SVG(label string) string {
	var b strings.Builder
	width := svgClock + svgLane*max(len(d.Lanes)-1, 1) + svgRight
	height := svgHead + svgRow*len(d.Rows) + 20
	fmt.Fprintf(&b, `<svg class="sequence" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n", width, height, width, height, html.EscapeString(label))
	for i, name := range d.Lanes {
		x := laneX(i)
		fmt.Fprintf(&b, `<line class="lane" x1="%d" y1="%d" x2="%d" y2="%d"/><text class="head" x="%d" y="16" text-anchor="middle">%s</text>`+"\n",
			x, svgHead-8, x, height-4, x, html.EscapeString(name))
	}
	for i := range d.Rows {
		d.Rows[i].svg(&b, svgHead+svgRow*i+22)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func laneX(i int) int { return svgClock + svgLane*i }

// svg draws a row whose arrow is at a height.
func (r *Row) svg(b *strings.Builder, y int) {
	fmt.Fprintf(b, `<g class="%s"><title>%s</title>`, r.Class.ClassID(), html.EscapeString(r.title()))
	fmt.Fprintf(b, `<text class="clock" x="%d" y="%d" text-anchor="end">%.1f</text>`, svgClock-14, y+4, float64(r.At)/1e6)
	x1, x2 := laneX(r.From), laneX(r.To)
	switch {
	case r.Note():
		fmt.Fprintf(b, `<circle class="note" cx="%d" cy="%d" r="4"/>`, x1, y)
		if r.From > 2 {
			fmt.Fprintf(b, `<text class="text" x="%d" y="%d" text-anchor="end">%s</text>`, x1-10, y+4, html.EscapeString(r.Text()))
		} else {
			fmt.Fprintf(b, `<text class="text" x="%d" y="%d">%s</text>`, x1+10, y+4, html.EscapeString(r.Text()))
		}
	case x1 == x2:
		fmt.Fprintf(b, `<path class="arrow" d="M%d %d h22 v8 h-20"/><text class="text" x="%d" y="%d">%s</text>`, x1, y-4, x1+28, y+4, html.EscapeString(r.Text()))
	default:
		step, anchor := 1, "start"
		if x1 > x2 {
			step, anchor = -1, "end"
		}
		tip := x2 - step*2
		fmt.Fprintf(b, `<line class="arrow" x1="%d" y1="%d" x2="%d" y2="%d"/>`, x1, y, tip, y)
		if r.Dropped != "" {
			x := x2 - step*6
			fmt.Fprintf(b, `<path class="drop" d="M%d %d l8 8 m0 -8 l-8 8"/>`, x-4, y-4)
		} else if !r.Flying {
			fmt.Fprintf(b, `<path class="tip" d="M%d %d l%d -4 v8 z"/>`, x2, y, -7*step)
		}
		for _, v := range r.Via {
			fmt.Fprintf(b, `<circle class="via" cx="%d" cy="%d" r="2.5"/>`, laneX(v), y)
		}
		fmt.Fprintf(b, `<text class="text" x="%d" y="%d" text-anchor="%s">%s</text>`, x1+step*6, y-5, anchor, html.EscapeString(r.Text()))
	}
	b.WriteString("</g>\n")
}

// title says all that there is to say about a row.
func (r *Row) title() string {
	s := r.Text() + "\n" + r.Detail
	if r.Arrived > 0 {
		s += fmt.Sprintf("\n%v on its way", (r.Arrived - r.At).Round(time.Microsecond))
	}
	if r.Count > 1 {
		s += fmt.Sprintf("\nthe last at %.1f ms", float64(r.Last)/1e6)
	}
	return s
}
