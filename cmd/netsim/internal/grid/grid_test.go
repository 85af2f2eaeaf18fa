package grid

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every pair of presets does what is written out for it in expect.go, with real dials of the
// unmodified stack; with a PN, too.
func TestExpected(t *testing.T) {
	seeds := 3
	if testing.Short() {
		seeds = 1
	}
	for _, withPN := range []bool{false, true} {
		presets := netsim.Presets()
		if withPN {
			presets, seeds = netsim.GridPresets(), 1
		}
		table, err := Run(virtual.Context(t), Plan{Presets: presets, Seeds: seeds, First: 1, PN: withPN})
		if err != nil {
			t.Fatal(err)
		}
		testExpected(t, table)
	}
}

func testExpected(t *testing.T, table *Table) {
	t.Helper()
	if n := len(netsim.Presets()); len(expectations) != n*n {
		t.Errorf("%d pairs are written out, there are %d", len(expectations), n*n)
	}
	for _, row := range table.Cells {
		for i := range row {
			c := &row[i]
			if c.Expected == nil {
				t.Errorf("nothing is written out for %s to %s", c.Caller, c.Callee)
				continue
			}
			if direct, relayed, failed := c.Count(); !c.Met() {
				t.Errorf("%s to %s, PN %t: %d direct, %d relayed, %d failed (%s), want %+v", c.Caller, c.Callee, c.PN, direct, relayed, failed, c.Failure(), *c.Expected)
			}
		}
	}
}

// What is written out is symmetric: whoever dials, the NATs are the same.
func TestExpectedEitherWay(t *testing.T) {
	for pair, e := range expectations {
		if back, ok := Expect(pair[1], pair[0]); !ok || back != e {
			t.Errorf("%s to %s is %+v, but back it is %+v", pair[0], pair[1], e, back)
		}
	}
}

// With half of all packets lost a pair may fail, and is counted as such; the same seeds give
// the same paths.
func TestLossy(t *testing.T) {
	p := Plan{Presets: netsim.GridPresets()[:1], Seeds: 8, First: 100, Loss: 0.2}
	var paths [2][]string
	for i := range paths {
		table, err := Run(virtual.Context(t), p)
		if err != nil {
			t.Fatal(err)
		}
		c := &table.Cells[0][0]
		for k, d := range c.Dials {
			if d.Seed != p.First+uint64(k) || d.Packets == 0 || d.Hash == "" || (d.Path == "") != (d.Err != "") {
				t.Errorf("%+v", d)
			}
			paths[i] = append(paths[i], d.Path)
		}
		if sorted := c.FirstBytes(); len(sorted) > 0 && sorted[0] < 2*nearest {
			t.Errorf("a first byte after %v", sorted[0])
		}
		if table.Virtual <= 0 || table.Dials() != 8 {
			t.Errorf("%+v", table)
		}
	}
}

func TestPercentile(t *testing.T) {
	var list []time.Duration
	for i := range 20 {
		list = append(list, time.Duration(i+1))
	}
	for _, test := range []struct {
		p    float64
		want time.Duration
	}{{0, 1}, {5, 1}, {5.1, 2}, {50, 10}, {95, 19}, {99, 20}, {100, 20}} {
		if got := Percentile(list, test.p); got != test.want {
			t.Errorf("percentile %v of 1 to 20 is %d, want %d", test.p, got, test.want)
		}
	}
	if got := Percentile(nil, 50); got != 0 {
		t.Errorf("of nothing it is %v", got)
	}
	if got := Percentile(list[:1], 99); got != 1 {
		t.Errorf("of one it is %v", got)
	}
}

func TestCell(t *testing.T) {
	c := Cell{Dials: []Dial{
		{Path: "punched", FirstByte: 3, Probes: 2}, {Path: "relayed", FirstByte: 1, Probes: 4}, {Err: "b"}, {Err: "a"}, {Err: "b", Probes: 4},
	}}
	if direct, relayed, failed := c.Count(); direct != 1 || relayed != 1 || failed != 3 {
		t.Errorf("counted %d, %d, %d", direct, relayed, failed)
	}
	if first := c.FirstBytes(); len(first) != 2 || first[0] != 1 {
		t.Errorf("first bytes %v", first)
	}
	if c.Failure() != "b" || c.Probes() != 2 {
		t.Errorf("failure %q, probes %v", c.Failure(), c.Probes())
	}
	for _, test := range []struct {
		e    *Expectation
		want bool
	}{{nil, true}, {&Expectation{Direct: true}, false}, {&Expectation{}, false}} {
		if c.Expected = test.e; c.Met() != test.want {
			t.Errorf("%+v: met is %t", test.e, c.Met())
		}
	}
	c.Dials = c.Dials[1:]
	if !c.Met() {
		t.Error("a relay does not meet what may not go direct")
	}
}
