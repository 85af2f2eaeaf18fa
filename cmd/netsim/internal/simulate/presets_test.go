package simulate_test

import (
	"context"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

const (
	ei  = "endpoint-independent"
	ad  = "address-dependent"
	apd = "address-and-port-dependent"
)

// verdicts is what a network check is to say of each preset, to a device that asks an SN with two
// addresses: mapping, filtering, hairpinning, whether ports are kept. "unknown" is
// the truth where a filter hides what would answer the question (docs/spec/netcheck.md §2).
var verdicts = map[string][4]string{
	"full-cone":            {ei, ei, "yes", "yes"},
	"restricted":           {ei, ad, "yes", "yes"},
	"port-restricted":      {ei, apd, "no", "yes"},
	"linux-masquerade":     {ei, apd, "no", "yes"},
	"symmetric-sequential": {apd, apd, "unknown", "no"},
	"symmetric-random":     {apd, apd, "unknown", "no"},
	"cgn":                  {ei, apd, "yes", "no"},
	"nat64":                {ei, apd, "yes", "no"},
	"hotel":                {apd, apd, "unknown", "no"},
	"carrier":              {apd, apd, "unknown", "no"},
	"firewall-v6":          {ei, apd, "no", "yes"},
	"udp-blocked":          {"unknown", "unknown", "unknown", "unknown"},
	"corporate":            {"unknown", "unknown", "unknown", "unknown"},
}

// A device learns from an SN with two addresses which preset it is behind.
func TestNetcheckNamesPresets(t *testing.T) {
	for _, p := range netsim.Presets() {
		t.Run(p.Name, func(t *testing.T) {
			want, ok := verdicts[p.Name]
			if !ok {
				t.Fatal("nothing is written out for it")
			}
			f := scenario.Pair(p, p)
			f.Links[0].Addrs = f.Links[0].Addrs[:2] // of IPv4, so that the NAT64 is asked, too
			udp := "yes"
			if want[0] == "unknown" {
				udp = "no"
			}
			f.Steps = []scenario.Step{{Do: scenario.DoNetcheck, From: "alice", Expect: scenario.Expect{Verdicts: map[string]string{
				"udp": udp, "mapping": want[0], "filtering": want[1], "hairpin": want[2], "ports": want[3],
			}}}}
			var r *scenario.Result
			err := virtual.Run(virtual.Context(t), p.Name, func(ctx context.Context) (err error) {
				r, err = simulate.Run(ctx, f, simulate.Options{})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if o := r.Steps[0]; !o.Met || o.Took > 5*time.Second {
				t.Errorf("%s (%s) after %v", o.Why, o.Detail, o.Took)
			}
		})
	}
	if len(verdicts) != len(netsim.Presets()) {
		t.Errorf("written out for %d presets", len(verdicts))
	}
}
