package report

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/grid"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	seq "github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
)

// evil is a name that must be escaped wherever it stands.
const evil = `<script>alert("x")</script>&'`

// cell returns the dials of a pair: some that met, after 10, 20, … ms and with 2 probes each, some
// through a relay after 1,000 ms, and some that failed, with 30 probes each.
func cell(caller, callee string, direct, relayed, failed int, e *grid.Expectation) grid.Cell {
	c := grid.Cell{Caller: caller, Callee: callee, Expected: e}
	for i := range direct {
		c.Dials = append(c.Dials, grid.Dial{Path: "punched", FirstByte: time.Duration(i+1) * 10 * time.Millisecond, Probes: 2})
	}
	for range relayed {
		c.Dials = append(c.Dials, grid.Dial{Path: "relayed", FirstByte: time.Second, Probes: 2})
	}
	for range failed {
		c.Dials = append(c.Dials, grid.Dial{Err: "no path to " + callee, Probes: 30})
	}
	return c
}

// table returns a grid of two presets and 20 seeds.
func table(second string) *grid.Table {
	direct, not := &grid.Expectation{Direct: true}, &grid.Expectation{Reason: "because of <this>"}
	return &grid.Table{
		Presets: []string{"cone", second}, Seeds: 20, First: 5, Took: 1500 * time.Millisecond, Virtual: time.Hour,
		Cells: [][]grid.Cell{
			{cell("cone", "cone", 20, 0, 0, direct), cell("cone", second, 10, 5, 5, direct)},
			{cell(second, "cone", 0, 0, 20, not), cell(second, second, 0, 20, 0, nil)},
		},
	}
}

// wellFormed checks that a page is XML and asks nothing of anyone, and returns its text without tags.
func wellFormed(t *testing.T, page []byte) string {
	t.Helper()
	var text strings.Builder
	x := xml.NewDecoder(strings.NewReader(string(page)))
	x.Strict = true
	for {
		token, err := x.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if slices.Contains([]string{"script", "link", "img", "iframe", "object", "a", "image", "use"}, token.Name.Local) {
				t.Errorf("the page has an element %s", token.Name.Local)
			}
			for _, a := range token.Attr {
				if a.Name.Local == "src" || a.Name.Local == "href" || strings.HasPrefix(a.Name.Local, "on") {
					t.Errorf("the page has %s=%q", a.Name.Local, a.Value)
				}
			}
			if token.Name.Local == "td" || token.Name.Local == "dd" || token.Name.Local == "dt" || token.Name.Local == "th" {
				text.WriteString("|")
			}
		case xml.CharData:
			text.Write(token)
		}
	}
	for _, outside := range []string{"url(", "@import", "<script", "src="} {
		if strings.Contains(string(page), outside) {
			t.Errorf("the page has %s", outside)
		}
	}
	return text.String()
}

// TestGridNumbers: rates, percentiles, counts and verdicts of the page are those of the
// dials.
func TestGridNumbers(t *testing.T) {
	page, err := Grid(table("sym"), nil, "netsim grid --seeds 20")
	if err != nil {
		t.Fatal(err)
	}
	text := wellFormed(t, page)
	for _, want := range []string{
		"80 dials of the unmodified stack", "2 kinds of NAT", "seeds 5 to 24",
		"|direct|37.5 %|30 dials", // 30 of 80
		"|relayed|31.2 %|25 dials",
		"|failed|31.2 %|25 dials",
		"|probes a dial|10.8|", // (2 + 9 + 30 + 2) / 4
		// Of the 55 that met, in order: 10, 10, 20, 20 … 100, 100, 110 … 200, then 25 of 1,000.
		"|first byte, p50|180 ms|p95 1000 ms, p99 1000 ms",
		"|cone|100|50", // the heat map
		"|sym|0a|0",    // a: the reason
		"|a|because of <this> (1 pairs)",
		"1 of 3 pairs did otherwise", "cone to sym: 10 of 20 went direct, all were expected to",
		"|cone|cone|100 %|0 %|0 %|100 ms|190 ms|200 ms|2.0|",
		"|cone|sym|50 %|25 %|25 %|80 ms|1000 ms|1000 ms|9.0|no path to sym",
		"|sym|cone|0 %|0 %|100 %|–|–|–|30.0|no path to cone",
		"|sym|sym|0 %|100 %|0 %|1000 ms|1000 ms|1000 ms|2.0|",
		"netsim grid --seeds 20", "1h0m0s simulated",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	classes := regexp.MustCompile(`<td class="(h[^"]*)"`).FindAllStringSubmatch(string(page), -1)
	var got []string
	for _, c := range classes {
		got = append(got, c[1])
	}
	if want := []string{"h5", "h3 miss", "h0", "h0"}; !slices.Equal(got, want) {
		t.Errorf("classes %q, want %q", got, want)
	}
}

// TestEscaping: no name, text or error becomes markup.
func TestEscaping(t *testing.T) {
	d := &seq.Diagram{Lanes: []string{evil, "b"}, Rows: []seq.Row{{To: 1, Name: evil, Size: 1, Count: 1, Detail: evil}}, More: 3}
	cases := []Case{{evil, evil, d}}
	page, err := Grid(table(evil), cases, evil)
	if err != nil {
		t.Fatal(err)
	}
	if text := wellFormed(t, page); !strings.Contains(text, evil) {
		t.Error("the name is not there")
	}
	f := &scenario.File{Name: evil, Nodes: []scenario.Node{{Name: evil, Kind: scenario.Host}, {Name: "up", Kind: scenario.Router}},
		Links:   []scenario.Link{{From: evil, To: "up", Name: evil}},
		Devices: []scenario.Device{{Name: evil, Host: evil}}}
	r := &scenario.Result{Steps: []scenario.Outcome{{Text: evil, Err: evil, Why: evil, Expected: evil, Detail: evil}}, Hash: "0123"}
	page, err = Scenario(f, r, cases, evil)
	if err != nil {
		t.Fatal(err)
	}
	if text := wellFormed(t, page); !strings.Contains(text, evil) {
		t.Error("the name is not there")
	}
}

// TestScenarioPage: the page tells what came of each step.
func TestScenarioPage(t *testing.T) {
	f := &scenario.File{Path: "x.yaml", Nodes: []scenario.Node{{Name: "internet", Kind: scenario.Router}, {Name: "home", Kind: scenario.NAT, Preset: "cgn"}},
		Links: []scenario.Link{{From: "home", To: "internet"}}}
	f.Links[0].Config.Delay, f.Links[0].Config.Rate, f.Links[0].Config.Loss = 1500*time.Millisecond, 1_000_000_000, 0.01
	r := &scenario.Result{Seed: 7, Packets: 12_345, Virtual: 3600 * time.Second, Hash: "0123", Steps: []scenario.Outcome{
		{Text: "dial: a → b", Path: "punched", FirstByte: 215 * time.Millisecond, Expected: "success", Met: true},
		{Text: "cut: c", Began: 1500 * time.Millisecond, Err: "no link", Expected: "success", Why: "it failed"},
	}}
	page, err := Scenario(f, r, nil, "netsim run x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := wellFormed(t, page)
	for _, want := range []string{
		"x.yaml", "3600.0 s of simulated time, 12,345 packets sent on links, seed 7", "1 of 2 steps went otherwise",
		"|0.000 s|dial: a → b|punched, first byte after 215 ms|success", "|1.500 s|cut: c|failed: no link, it failed|success",
		"1500 ms, 1000 Mbit/s, 1 % loss", "cgn", "0123",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "Packet by packet") {
		t.Error("the page has a section of nothing")
	}
}

// TestEmpty: a grid of which nobody met has a page, too.
func TestEmpty(t *testing.T) {
	none := &grid.Table{Presets: []string{"x"}, Seeds: 1, First: 1, Cells: [][]grid.Cell{{cell("x", "x", 0, 0, 1, nil)}}}
	page, err := Grid(none, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if text := wellFormed(t, page); !strings.Contains(text, "first byte, p50|–|") || !strings.Contains(text, "seed 1,") {
		t.Error(text)
	}
}

// TestBins: every value is in one bin, and the bins are round.
func TestBins(t *testing.T) {
	for _, c := range []struct {
		values, others []float64
		most           int
		whole          bool
		want           string
	}{
		{[]float64{0, 9.9, 10, 95}, nil, 10, false, "0-10:2+0 10-20:1+0 20-30:0+0 30-40:0+0 40-50:0+0 50-60:0+0 60-70:0+0 70-80:0+0 80-90:0+0 90-100:1+0"},
		{[]float64{0, 1}, []float64{1, 3}, 40, true, "0-1:1+0 1-2:2+1 2-3:0+0 3-4:1+1"},
		{[]float64{0}, nil, 40, false, "0-1:1+0"},
		{nil, []float64{100}, 3, true, "0-50:0+0 50-100:0+0 100-150:1+1"},
	} {
		var got []string
		for _, b := range bins(c.values, c.others, c.most, c.whole) {
			got = append(got, fmt.Sprintf("%v-%v:%d+%d", b.Low, b.High, b.Count, b.Other))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("bins(%v, %v) = %s, want %s", c.values, c.others, s, c.want)
		}
	}
}

// TestHeatClass: the colour of none and of all is nobody else's.
func TestHeatClass(t *testing.T) {
	for n, want := range map[int]string{0: "h0", 1: "h1", 24: "h1", 25: "h2", 50: "h3", 75: "h4", 99: "h4", 100: "h5"} {
		if got := heatClass(n, 100); got != want {
			t.Errorf("%d of 100: %s, want %s", n, got, want)
		}
	}
}
