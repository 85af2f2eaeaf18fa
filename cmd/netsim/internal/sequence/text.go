package sequence

import (
	"fmt"
	"strings"
)

// The columns of a diagram in text, in characters.
const (
	clockWidth = 11
	minGap     = 5  // between two lanes
	maxGap     = 16 //
	sideWidth  = 34 // what a row says, at the right
)

// MinWidth returns the least width of the diagram as text.
func (d *Diagram) MinWidth() int { return clockWidth + minGap*len(d.Lanes) + sideWidth }

// Text returns the diagram as lines of at most width characters, where that is no less than
// MinWidth. paint colours what belongs to a class, nil does not.
func (d *Diagram) Text(width int, paint func(Class, string) string) string {
	if paint == nil {
		paint = func(_ Class, s string) string { return s }
	}
	gap := minGap
	if n := len(d.Lanes); n > 0 {
		gap = min(max((width-clockWidth-sideWidth)/n, minGap), maxGap)
	}
	p := &plotter{Diagram: d, gap: gap, side: max(sideWidth, width-clockWidth-gap*len(d.Lanes)), paint: paint}
	p.heads()
	for i := range d.Rows {
		p.row(&d.Rows[i])
	}
	if d.More > 0 {
		p.Line(fmt.Sprintf("%*s  … and %d more", clockWidth-2, "", d.More))
	}
	return p.String()
}

// A plotter draws a diagram in text.
type plotter struct {
	*Diagram
	strings.Builder
	gap, side int
	paint     func(Class, string) string
}

// Line writes a line without the space at its end.
func (p *plotter) Line(s string) { p.WriteString(strings.TrimRight(s, " ") + "\n") }

// at is the column of a lane, from the first.
func (p *plotter) at(lane int) int { return lane * p.gap }

// lanes returns the lanes with nothing between them.
func (p *plotter) lanes() []rune {
	line := []rune(strings.Repeat(" ", p.gap*len(p.Lanes)))
	for i := range p.Lanes {
		line[p.at(i)] = '│'
	}
	return line
}

// heads writes the names, each on a line of its own, so that all have room.
func (p *plotter) heads() {
	for i, name := range p.Lanes {
		line := p.lanes()
		head := strings.Repeat(" ", clockWidth)
		if i == 0 {
			head = fmt.Sprintf("%*s  ", clockWidth-2, "ms")
		}
		p.Line(head + string(line[:p.at(i)]) + name)
	}
}

// row writes a row.
func (p *plotter) row(r *Row) {
	line := p.lanes()
	clock := fmt.Sprintf("%*.1f  ", clockWidth-2, float64(r.At)/1e6)
	if r.Note() {
		line[p.at(r.From)] = '●'
	} else {
		p.arrow(line, r)
	}
	text := []rune(r.Text())
	if len(text) > p.side {
		text = append(text[:p.side-1], '…')
	}
	if r.Note() {
		p.Line(clock + string(line) + string(text))
		return
	}
	a, b := p.at(min(r.From, r.To)), p.at(max(r.From, r.To))+1
	p.Line(clock + string(line[:a]) + p.paint(r.Class, string(line[a:b])) + string(line[b:]) + p.paint(r.Class, string(text)))
}

// arrow draws a packet on the lanes.
func (p *plotter) arrow(line []rune, r *Row) {
	from, to := p.at(r.From), p.at(r.To)
	if from == to {
		line[from] = '↻'
		return
	}
	for x := min(from, to) + 1; x < max(from, to); x++ {
		line[x] = '─'
	}
	for _, lane := range r.Via {
		line[p.at(lane)] = '┼'
	}
	step, start, tip := 1, '├', '>'
	if from > to {
		step, start, tip = -1, '┤', '<'
	}
	if r.Dropped != "" {
		tip = '×'
	}
	if r.Flying {
		tip = '·'
	}
	line[from], line[to-step] = start, tip
}
