package report

import (
	"fmt"
	"html"
	"html/template"
	"strings"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// A node is a machine of a topology.
type node struct {
	Name  string
	Notes []string // at most two lines
	Up    string   // the node above; empty: none
	Edge  string   // what the link up is like
	End   bool     // devices or SNs run here
}

const (
	nodeWidth  = 148
	nodeHeight = 54
	nodeGap    = 26
	levelGap   = 60
)

// topology draws machines from the top down: each below the one that its first link leads to.
func topology(label string, nodes []node) template.HTML {
	p := &placer{below: make(map[string][]int), nodes: nodes, x: make([]float64, len(nodes)), level: make([]int, len(nodes))}
	index := make(map[string]int)
	for i, n := range nodes {
		index[n.Name] = i
	}
	var roots []int
	for i, n := range nodes {
		if _, ok := index[n.Up]; ok && n.Up != n.Name {
			p.below[n.Up] = append(p.below[n.Up], i)
		} else {
			roots = append(roots, i)
		}
	}
	for _, r := range roots {
		p.place(r, 0)
	}
	levels := 0
	for _, l := range p.level {
		levels = max(levels, l+1)
	}
	width, height := int(p.next)*(nodeWidth+nodeGap)+nodeGap, levels*(nodeHeight+levelGap)-levelGap+8
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="topology" viewBox="0 0 %d %d" role="img" aria-label="%s" style="width:100%%;min-width:%dpx;max-width:%dpx">`, width, height, html.EscapeString(label), min(width*2/3, 900), width*5/4)
	cx := func(i int) float64 { return nodeGap + p.x[i]*(nodeWidth+nodeGap) + nodeWidth/2 }
	top := func(i int) int { return 4 + p.level[i]*(nodeHeight+levelGap) }
	var labels strings.Builder // above all lines
	for i, n := range nodes {
		up, ok := index[n.Up]
		if !ok || n.Up == n.Name {
			continue
		}
		x1, y1, x2, y2 := cx(i), top(i), cx(up), top(up)+nodeHeight
		fmt.Fprintf(&b, `<line class="edge" x1="%.0f" y1="%d" x2="%.0f" y2="%d"/>`, x1, y1, x2, y2)
		if n.Edge != "" {
			fmt.Fprintf(&labels, `<text class="soft link" x="%.0f" y="%d" text-anchor="middle">%s</text>`, x1+(x2-x1)/4, y1-(y1-y2)/4, html.EscapeString(n.Edge))
		}
	}
	b.WriteString(labels.String())
	for i, n := range nodes {
		class := "box"
		if n.End {
			class = "end"
		}
		fmt.Fprintf(&b, `<g class="%s"><title>%s</title><rect x="%.0f" y="%d" width="%d" height="%d" rx="8"/><text class="name" x="%.0f" y="%d" text-anchor="middle">%s</text>`,
			class, html.EscapeString(strings.Join(append([]string{n.Name}, n.Notes...), "\n")), cx(i)-nodeWidth/2, top(i), nodeWidth, nodeHeight, cx(i), top(i)+19, html.EscapeString(short(n.Name, 20)))
		for k, note := range n.Notes[:min(2, len(n.Notes))] {
			fmt.Fprintf(&b, `<text class="soft" x="%.0f" y="%d" text-anchor="middle">%s</text>`, cx(i), top(i)+33+14*k, html.EscapeString(short(note, 24)))
		}
		b.WriteString("</g>")
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// short cuts a text to n characters.
func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// A placer gives nodes their places: leaves side by side, others above the middle of theirs.
type placer struct {
	nodes []node
	below map[string][]int
	x     []float64
	level []int
	next  float64
}

func (p *placer) place(i, level int) {
	p.level[i] = level
	below := p.below[p.nodes[i].Name]
	if len(below) == 0 {
		p.x[i] = p.next
		p.next++
		return
	}
	for _, k := range below {
		p.place(k, level+1)
	}
	p.x[i] = (p.x[below[0]] + p.x[below[len(below)-1]]) / 2
}

// maxDrawn is how many machines a page draws.
const maxDrawn = 60

// scenarioNodes returns the machines of a scenario.
func scenarioNodes(f *scenario.File) []node {
	runs := make(map[string][]string)
	for _, s := range f.SuperNodes {
		runs[s.Host] = append(runs[s.Host], "super node "+s.Name)
	}
	for _, d := range f.Devices {
		text := "device " + d.Name
		if d.Count > 0 {
			text = fmt.Sprintf("%d devices %s", d.Count, d.Name)
		}
		runs[d.Host] = append(runs[d.Host], text)
	}
	var list []node
	for _, n := range f.Nodes {
		out := node{Name: n.Name, Notes: []string{string(n.Kind)}}
		if n.Preset != "" {
			out.Notes = []string{n.Preset}
		}
		if r := runs[n.Name]; len(r) > 0 {
			out.Notes, out.End = r, true
		}
		for _, l := range f.Links {
			if l.From == n.Name {
				out.Up, out.Edge = l.To, edge(&l)
				break
			}
		}
		list = append(list, out)
	}
	return list
}

// edge says what a link is like, in a few words.
func edge(l *scenario.Link) string {
	var words []string
	if d := l.Config.Delay; d > 0 {
		words = append(words, number(d.Seconds()*1e3)+" ms")
	}
	if r := l.Config.Rate; r > 0 {
		words = append(words, number(float64(r)/1e6)+" Mbit/s")
	}
	if p := l.Config.Loss; p > 0 {
		words = append(words, fmt.Sprintf("%.3g %% loss", 100*p))
	}
	return strings.Join(words, ", ")
}
