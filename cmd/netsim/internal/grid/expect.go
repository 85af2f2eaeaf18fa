package grid

import (
	"fmt"
	"strings"
)

// An Expectation is how a pair is to meet with the stack as it is today.
type Expectation struct {
	Direct bool   // it must go direct; otherwise it may not
	Reason string // why it may not
	Relay  bool   // it may not, but meets through a PN where there is one
}

// reasons says why a pair cannot go direct, by the letters of expected.
var reasons = map[byte]string{
	'p': "one NAT takes another port for each destination, the other lets in only the port that it has sent to: this takes port prediction or a birthday search, which the stack does not do yet; a proxy node would relay",
	's': "both NATs take another port for each destination: where one is sequential this takes port prediction, which the stack does not do yet; a proxy node would relay",
	'u': "UDP does not pass on one side: this takes TCP, which the stack does not speak yet",
}

// expected is the pairs, callers down and callees across, in the same order: D goes direct, the
// others are in reasons.
const expected = `
full-cone             D D D D D D D u D D D u D
restricted            D D D D D D D u D D D u D
port-restricted       D D D D p p D u D p p u D
linux-masquerade      D D D D p p D u D p p u D
symmetric-sequential  D D p p s s p u p s s u p
symmetric-random      D D p p s s p u p s s u p
cgn                   D D D D p p D u D p p u D
udp-blocked           u u u u u u u u u u u u u
nat64                 D D D D p p D u D p p u D
hotel                 D D p p s s p u p s s u p
carrier               D D p p s s p u p s s u p
corporate             u u u u u u u u u u u u u
firewall-v6           D D D D p p D u D p p u D
`

// expectations is expected, by the names of caller and callee.
var expectations = func() map[[2]string]Expectation {
	lines := strings.Split(strings.TrimSpace(expected), "\n")
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i] = strings.Fields(l)[0]
	}
	table := make(map[[2]string]Expectation)
	for i, l := range lines {
		letters := strings.Fields(l)[1:]
		if len(letters) != len(names) {
			panic(fmt.Sprintf("grid: %s has %d expectations", names[i], len(letters)))
		}
		for j, c := range letters {
			reason, known := reasons[c[0]]
			if !known && c != "D" {
				panic(fmt.Sprintf("grid: %s has the expectation %s", names[i], c))
			}
			table[[2]string{names[i], names[j]}] = Expectation{Direct: c == "D", Reason: reason, Relay: known && c != "u"}
		}
	}
	return table
}()

// Expect returns what is written out for a pair of presets.
func Expect(caller, callee string) (Expectation, bool) {
	e, ok := expectations[[2]string{caller, callee}]
	return e, ok
}
