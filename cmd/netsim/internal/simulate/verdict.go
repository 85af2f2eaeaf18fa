package simulate

import (
	"errors"
	"strings"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// Verdicts returns what the examination of a network has found, in a line: on IPv4, or on
// IPv6 where there is no IPv4. The error says what of it is not as expected.
func Verdicts(r *bdt.NetReport, e scenario.Expect) (line string, err error) {
	family, name := r.IPv4, "IPv4"
	if !r.IPv4.Works && r.IPv6.Works {
		family, name = r.IPv6, "IPv6"
	}
	found := map[string]string{
		"udp": r.UDP.Value, "mapping": family.Mapping.Value, "filtering": family.Filtering.Value,
		"hairpin": family.Hairpin.Value, "ports": family.PortPreservation.Value,
	}
	var words, wrong []string
	for _, v := range scenario.Verdicts {
		words = append(words, v+" "+found[v])
		if want, ok := e.Verdicts[v]; ok && want != found[v] {
			wrong = append(wrong, v+" is "+found[v])
		}
	}
	if len(wrong) > 0 {
		err = errors.New(strings.Join(wrong, ", "))
	}
	return name + ": " + strings.Join(words, ", "), err
}
