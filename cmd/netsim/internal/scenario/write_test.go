package scenario_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// text is what Written returns, as it stands in a file.
func text(config any) string {
	var words []string
	for _, s := range scenario.Written(config) {
		words = append(words, s.Key+": "+s.Text)
	}
	return strings.Join(words, ", ")
}

// What is written is read again as it was.
func TestWritten(t *testing.T) {
	nats := []netsim.NATConfig{{}, netsim.Symmetric, netsim.NAT64, {TCPTimeout: 90 * time.Minute, Timeout: 1500 * time.Millisecond}}
	for _, p := range netsim.Presets() {
		nats = append(nats, p.Boxes...)
	}
	for _, c := range nats {
		f, err := scenario.Parse("x", fmt.Appendf(nil, "nodes: {top: router, home: {nat: {%s}}}\nlinks: [{from: home, to: top, addrs: 192.0.2.1}]", text(c)))
		if err != nil {
			t.Errorf("%+v is written {%s}: %v", c, text(c), err)
			continue
		}
		if home, _ := f.Node("home"); home.NAT != c {
			t.Errorf("%+v is written {%s} and read %+v", c, text(c), home.NAT)
		}
	}
	link := netsim.LinkConfig{
		Delay: time.Millisecond, Rate: 1_500_000, Loss: 0.125, QueuePackets: 7, CoDel: true, MTU: 1400,
		Burst: &netsim.GilbertElliott{P: 0.01, LossBad: 1}, Down: &netsim.LinkConfig{Rate: 2e9},
	}
	f, err := scenario.Parse("x", fmt.Appendf(nil, "nodes: {top: router, a: host}\nlinks: [{from: a, to: top, addrs: 192.0.2.1, %s}]", text(link)))
	if err != nil {
		t.Fatalf("%s: %v", text(link), err)
	}
	if got := f.Links[0].Config; text(got) != text(link) || *got.Burst != *link.Burst || got.Down.Rate != 2e9 {
		t.Errorf("{%s} is read {%s}", text(link), text(got))
	}
}
