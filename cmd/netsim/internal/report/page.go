package report

import (
	"bytes"
	_ "embed"
	"html/template"
)

//go:embed style.css
var style string

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page is what the template shows.
type page struct {
	Style    template.CSS
	Title    string
	Lead     string
	Verdict  string
	Good     bool
	Tiles    []tile
	Heat     *heat
	Reasons  []reason
	Missed   []string
	Topology template.HTML
	Topics   []topic    // pictures
	Cases    []sequence // sequence diagrams
	Legend   []legend   // of those
	Pairs    []pair
	Steps    []step
	Notes    []string
	Command  string
}

// A tile is one number of the summary.
type tile struct{ Value, Label, Detail string }

// A reason is why pairs cannot go direct, by the letter that the heat map has.
type reason struct {
	Letter, Text string
	Pairs        int
}

// A topic is a picture with what it shows.
type topic struct {
	Title, Text string
	Picture     template.HTML
}

// A sequence is a diagram with what came of it.
type sequence struct {
	Title, Text string
	Open        bool
	Picture     template.HTML
}

// A legend is a class of packets.
type legend struct{ ID, Name string }

// A pair is a line of the table of all pairs.
type pair struct {
	Caller, Callee               string
	Direct, Relayed, Failed      string
	P50, P95, P99, Probes, Error string
	Bad                          bool
}

// A step is a line of the table of steps.
type step struct {
	At, Text, Outcome, Expected string
	Met                         bool
}

// render returns the page.
func (p *page) render() ([]byte, error) {
	p.Style = template.CSS(style)
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
