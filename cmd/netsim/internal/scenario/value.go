package scenario

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// text reads a scalar as it is written.
func (r *reader) text(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	}
	return "", r.errorAt(n, "", "here a word, a number or a text is wanted, not %s", describe(n))
}

// maxDuration bounds all times of a scenario: a week is as long as a bubble runs.
const maxDuration = 7 * 24 * time.Hour

// duration reads a time like 1m30s or 250ms.
func (r *reader) duration(n ast.Node) (time.Duration, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(strings.ReplaceAll(s, " ", ""))
	switch {
	case err != nil:
		return 0, r.errorAt(n, "write it like 250ms, 1.5s or 2m", "%q is no duration", s)
	case d < 0 || d > maxDuration:
		return 0, r.errorAt(n, "", "the duration %s is not in 0 to %v", s, maxDuration)
	}
	return d, nil
}

// A unit is a word after a number, and what it stands for.
type unit struct {
	name string
	is   float64
}

var (
	sizeUnits = []unit{{"", 1}, {"B", 1}, {"kB", 1e3}, {"KiB", 1 << 10}, {"MB", 1e6}, {"MiB", 1 << 20}, {"GB", 1e9}, {"GiB", 1 << 30}}
	rateUnits = []unit{{"bit", 1}, {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}}
)

// number reads a number with one of the units.
func number(s string, units []unit) (float64, bool) {
	s = strings.TrimSpace(s)
	i := strings.LastIndexAny(s, "0123456789.") + 1
	v, err := strconv.ParseFloat(s[:i], 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0, false
	}
	name := strings.TrimSpace(s[i:])
	for _, u := range units {
		if u.name == name {
			return v * u.is, true
		}
	}
	return 0, false
}

// size reads a number of bytes, or another whole number, up to most.
func (r *reader) size(n ast.Node, most int64) (int64, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	v, ok := number(s, sizeUnits)
	switch {
	case !ok:
		return 0, r.errorAt(n, "write it like 1500, 64KiB or 100MB", "%q is no size", s)
	case v != math.Trunc(v) || v > float64(most):
		return 0, r.errorAt(n, "", "%s is not a whole number in 0 to %d", s, most)
	}
	return int64(v), nil
}

// rate reads bits a second.
func (r *reader) rate(n ast.Node) (int64, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	v, ok := number(strings.TrimSuffix(strings.TrimSpace(s), "/s"), rateUnits)
	if !ok || v > 1e12 {
		return 0, r.errorAt(n, "write it like 512kbit, 50Mbit or 1Gbit", "%q is no rate", s)
	}
	return int64(v), nil
}

// share reads a probability.
func (r *reader) share(n ast.Node) (float64, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	v, ok := number(s, []unit{{"", 1}, {"%", 0.01}})
	if !ok || v > 1 {
		return 0, r.errorAt(n, "write it like 2% or 0.02", "%q is no share in 0 to 100%%", s)
	}
	return v, nil
}

// integer reads a whole number in low to high.
func (r *reader) integer(n ast.Node, low, high int64) (int64, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v < low || v > high {
		return 0, r.errorAt(n, "", "%q is no whole number in %d to %d", s, low, high)
	}
	return v, nil
}

// truth reads true or false.
func (r *reader) truth(n ast.Node) (bool, error) {
	if b, ok := n.(*ast.BoolNode); ok {
		return b.Value, nil
	}
	return false, r.errorAt(n, "", "here true or false is wanted, not %s", describe(n))
}

// choice reads one of some words.
func (r *reader) choice(n ast.Node, words []string) (int, error) {
	s, err := r.text(n)
	if err != nil {
		return 0, err
	}
	i := slices.Index(words, s)
	if i < 0 {
		return 0, r.errorAt(n, meant(s, words), "here %q means nothing", s)
	}
	return i, nil
}

// name reads the name of something that the file makes.
func (r *reader) name(n ast.Node) (string, error) {
	s, err := r.text(n)
	if err != nil {
		return "", err
	}
	return s, r.checkName(n, s)
}

// maxName bounds names, in bytes.
const maxName = 64

func (r *reader) checkName(n ast.Node, s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
	if s == "" || len(s) > maxName || strings.Trim(s, letters) != "" || strings.ContainsAny(s[:1], "-.") {
		return r.errorAt(n, fmt.Sprintf("names are of letters, digits, - _ and ., at most %d", maxName), "%q is no name", s)
	}
	return nil
}

// broadcast is everybody on a segment (RFC 919 §7).
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// addr reads an address, alone or with the length of its prefix.
func (r *reader) addr(n ast.Node) (string, error) {
	s, err := r.text(n)
	if err != nil {
		return "", err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return "", r.errorAt(n, "write it like 198.51.100.7, 198.18.1.2/24 or 2001:db8:1::2/64", "%q is no address", s)
		}
		a = p.Addr()
	}
	if a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a == broadcast {
		return "", r.errorAt(n, "", "%s cannot be the address of a node", s)
	}
	return s, nil
}

// addrs reads addresses, one or a list.
func (r *reader) addrs(n ast.Node) ([]string, error) {
	const most = 64
	items := r.items(n)
	if len(items) > most {
		return nil, r.errorAt(n, "", "%d addresses: at most %d can be had", len(items), most)
	}
	var list []string
	for _, item := range items {
		s, err := r.addr(item)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}
