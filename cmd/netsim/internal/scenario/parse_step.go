package scenario

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

func readSteps(r *reader, n ast.Node, f *File) error {
	items, err := r.list(n, "steps", maxSteps)
	if err != nil {
		return err
	}
	for _, item := range items {
		s := Step{Line: line(item)}
		if err := r.step(item, &s); err != nil {
			return err
		}
		f.Steps = append(f.Steps, s)
		r.later(item, func(n ast.Node) error { return checkStep(r, n, f, &s) })
	}
	return nil
}

// An action is what the file says of an Action.
type action struct {
	do    Action
	usage string
	// word reads the short form, a text; nil: there is none.
	word     func(r *reader, n ast.Node, s *Step) error
	wordForm string
	keys     []key[Step]
	config   bool // it has the keys of a link, too
}

// step reads a step: one action, when, and what is expected.
func (r *reader) step(n ast.Node, s *Step) error {
	pairs, err := r.pairs(n, "a step")
	if err != nil {
		return err
	}
	rest := &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: n.GetToken()}
	var does *pair
	for _, p := range pairs {
		i := slices.IndexFunc(actions, func(a action) bool { return string(a.do) == p.name })
		if i < 0 {
			if indexKey(stepKeys, p.name) < 0 {
				if a := misplaced(pairs, p.name); a != nil {
					return r.errorAt(p.key, fmt.Sprintf("write it like %s: {%s: …, %s: …}", a.do, a.keys[0].name, p.name), "%q belongs into the braces of the step %s", p.name, a.do)
				}
				return r.errorAt(p.key, meant(p.name, append(actionNames(), keyNames(stepKeys)...)), "a step has no key %q", p.name)
			}
			rest.Values = append(rest.Values, p.whole)
			continue
		}
		if does != nil {
			return r.errorAt(p.key, "begin another step with '- '", "a step does one thing: this one does %s already", does.name)
		}
		does = &p
	}
	if does == nil {
		return r.errorAt(n, meant("", actionNames()), "the step does nothing")
	}
	s.Do = Action(does.name)
	if err := r.action(does, s); err != nil {
		return err
	}
	s.complete()
	return mapping(r, rest, "a step", stepKeys, s)
}

// misplaced returns the action of a step whose key stands beside it, not below it; nil: it is no
// key of it.
func misplaced(pairs []pair, name string) *action {
	for _, p := range pairs {
		i := slices.IndexFunc(actions, func(a action) bool { return string(a.do) == p.name })
		if i >= 0 && len(actions[i].keys) > 0 && indexKey(actions[i].keys, name) >= 0 {
			return &actions[i]
		}
	}
	return nil
}

// complete fills in what a step may leave out.
func (s *Step) complete() {
	switch s.Do {
	case DoPing:
		s.Count = max(s.Count, 1)
		if s.Every == 0 {
			s.Every = time.Second
		}
	case DoMove:
		if s.Link == "" {
			s.Link = s.Target + "-" + s.To
		}
	case DoLoad:
		if s.Load.AtOnce == 0 {
			s.Load.AtOnce = 64
		}
		if s.For == 0 {
			s.For = 10 * time.Second
		}
	}
}

func actionNames() []string {
	names := make([]string, len(actions))
	for i, a := range actions {
		names[i] = string(a.do)
	}
	return names
}

// action reads what a step does.
func (r *reader) action(p *pair, s *Step) error {
	a := actions[slices.IndexFunc(actions, func(a action) bool { return string(a.do) == p.name })]
	what := "the step " + p.name
	if _, err := r.pairs(p.value, ""); err != nil {
		if a.word == nil {
			return r.errorAt(p.value, fmt.Sprintf("write it like %s: {%s}", a.do, strings.Join(keyNames(a.keys), ": …, ")+": …"), "%s does not take %s", what, describe(p.value))
		}
		return a.word(r, p.value, s)
	}
	if !a.config {
		return mapping(r, p.value, what, a.keys, s)
	}
	known, err := own(r, p.value, what, a.keys, s)
	if err != nil {
		return err
	}
	s.Changes, err = r.plain(p.value, what, reflect.ValueOf(&s.Config).Elem(), known)
	return err
}

var stepKeys = []key[Step]{
	{name: "at", form: "duration", usage: "begin at this time, counted from when the first step could begin, whether or not those before are over (begin when all before are over)", read: func(r *reader, n ast.Node, s *Step) (err error) {
		s.Timed = true
		s.At, err = r.duration(n)
		return err
	}},
	{name: "expect", form: "{key: value, …}", usage: "what is expected of it (that it succeeds)", read: func(r *reader, n ast.Node, s *Step) error {
		s.Expect.Line = line(n)
		return mapping(r, n, "an expectation", expectKeys, &s.Expect)
	}},
}

// The keys of steps.
var (
	fromKey = key[Step]{name: "from", form: "device", usage: "the device that does it", need: true, read: func(r *reader, n ast.Node, s *Step) (err error) {
		s.From, err = r.name(n)
		return err
	}}
	toKey = key[Step]{name: "to", form: "device", usage: "the device that it is done to", need: true, read: func(r *reader, n ast.Node, s *Step) (err error) {
		s.To, err = r.name(n)
		return err
	}}
	linkKey = key[Step]{name: "link", form: "link", usage: "the link", need: true, read: target}
	hostKey = key[Step]{name: "host", form: "host", usage: "the host", need: true, read: target}
	forKey  = key[Step]{name: "for", form: "duration", usage: "after which it is undone (never)", read: func(r *reader, n ast.Node, s *Step) (err error) {
		s.For, err = r.duration(n)
		return err
	}}
	addrsKey = key[Step]{name: "addrs", form: "address, or a list", usage: "the addresses", need: true, read: func(r *reader, n ast.Node, s *Step) (err error) {
		s.Addrs, err = r.addrs(n)
		return err
	}}
)

// target reads what is changed.
func target(r *reader, n ast.Node, s *Step) (err error) {
	s.Target, err = r.name(n)
	return err
}

// fromWord reads the device that acts.
func fromWord(r *reader, n ast.Node, s *Step) (err error) {
	s.From, err = r.name(n)
	return err
}

// fromTo reads "ALICE to BOB".
func fromTo(r *reader, n ast.Node, s *Step) error {
	text, err := r.text(n)
	if err != nil {
		return err
	}
	words := strings.Fields(text)
	if len(words) != 3 || words[1] != "to" {
		return r.errorAt(n, "write it like 'alice to bob'", "%q does not say who and whom", text)
	}
	if err := r.checkName(n, words[0]); err != nil {
		return err
	}
	s.From, s.To = words[0], words[2]
	return r.checkName(n, words[2])
}

var actions = []action{
	{do: DoDial, usage: "open a stream to a device and wait for the first answered byte", word: fromTo, wordForm: "DEVICE to DEVICE", keys: []key[Step]{fromKey, toKey}},
	{do: DoCall, usage: "ask a device a question, with the least delay", word: fromTo, wordForm: "DEVICE to DEVICE", keys: []key[Step]{fromKey, toKey}},
	{do: DoPing, usage: "ping a device", word: fromTo, wordForm: "DEVICE to DEVICE", keys: []key[Step]{fromKey, toKey,
		{name: "count", form: "number", usage: "how many pings (1)", read: func(r *reader, n ast.Node, s *Step) error {
			v, err := r.integer(n, 1, 100_000)
			s.Count = int(v)
			return err
		}},
		{name: "every", form: "duration", usage: "the time between them (1s)", read: func(r *reader, n ast.Node, s *Step) (err error) {
			s.Every, err = r.duration(n)
			return err
		}},
	}},
	{do: DoTransfer, usage: "send bytes to a device, which verifies that all came", keys: []key[Step]{fromKey, toKey,
		{name: "size", form: "size", usage: "how much", need: true, read: func(r *reader, n ast.Node, s *Step) (err error) {
			s.Size, err = r.size(n, 64<<30)
			return err
		}},
	}},
	{do: DoNetcheck, usage: "examine the network as 'bdt netcheck' does", word: fromWord, wordForm: "DEVICE", keys: []key[Step]{fromKey}},
	{do: DoOnline, usage: "wait until a super node serves a device", word: fromWord, wordForm: "DEVICE", keys: []key[Step]{fromKey}},
	{do: DoStart, usage: "start a device, a super node or a proxy node", word: target, wordForm: "DEVICE, SUPER NODE or PROXY NODE"},
	{do: DoStop, usage: "stop a device, a super node or a proxy node", word: target, wordForm: "DEVICE, SUPER NODE or PROXY NODE"},
	{do: DoCut, usage: "cut a link", word: target, wordForm: "LINK", keys: []key[Step]{linkKey, forKey}},
	{do: DoMend, usage: "mend a link", word: target, wordForm: "LINK", keys: []key[Step]{linkKey}},
	{do: DoSet, usage: "change what a link is like, by the keys of a link", keys: []key[Step]{linkKey}, config: true},
	{do: DoReboot, usage: "have a router or NAT forget what it knows; all its links are cut meanwhile", word: target, wordForm: "NODE", keys: []key[Step]{
		{name: "node", form: "node", usage: "the router or NAT", need: true, read: target},
		{name: "for", form: "duration", usage: "how long that takes (0s)", read: forKey.read},
	}},
	{do: DoMove, usage: "take a host from all its links, and join it to another node", keys: []key[Step]{hostKey,
		{name: "to", form: "node", usage: "where it is from now on", need: true, read: toKey.read},
		{name: "link", form: "name", usage: "of the new link (HOST-NODE)", read: func(r *reader, n ast.Node, s *Step) (err error) {
			s.Link, err = r.name(n)
			return err
		}},
		{name: "addrs", form: "address, or a list", usage: "the host's new ones; below a NAT it gets one if there are none", read: addrsKey.read},
	}, config: true},
	{do: DoAdd, usage: "give a host further addresses", keys: []key[Step]{hostKey, addrsKey,
		{name: "link", form: "link", usage: "on which link (the only one)", read: func(r *reader, n ast.Node, s *Step) (err error) {
			s.Link, err = r.name(n)
			return err
		}},
	}},
	{do: DoRemove, usage: "take addresses from a host", keys: []key[Step]{hostKey, addrsKey}},
	{do: DoWait, usage: "let time pass", wordForm: "duration", word: forKey.read},
	{do: DoLoad, usage: "have light devices do something", keys: []key[Step]{
		{name: "devices", form: "device", usage: "with a count", need: true, read: fromKey.read},
		{name: "do", form: "register, rest, ping, call", usage: "come online; be left alone; ping the super node; call each other", need: true, read: func(r *reader, n ast.Node, s *Step) error {
			i, err := r.choice(n, loads)
			if err == nil {
				s.Load.Kind = loads[i]
			}
			return err
		}},
		{name: "for", form: "duration", usage: "how long, but for register (10s)", read: forKey.read},
		{name: "at-once", form: "number", usage: "at a time (64)", read: func(r *reader, n ast.Node, s *Step) error {
			v, err := r.integer(n, 1, 10_000)
			s.Load.AtOnce = int(v)
			return err
		}},
	}},
}

var loads = []string{"register", "rest", "ping", "call"}

// paths are what Expect.Paths may name.
var paths = []string{"lan", "direct", "punched", "relayed", None}

var expectKeys = []key[Expect]{
	{name: "path", form: "lan, direct, punched, relayed, none, or a list", usage: "how the peer is reached, at most 2 s after the first answered byte; any of a list will do. none: it is not", read: func(r *reader, n ast.Node, e *Expect) error {
		for _, item := range r.items(n) {
			i, err := r.choice(item, paths)
			if err != nil {
				return err
			}
			e.Paths = append(e.Paths, paths[i])
		}
		if len(e.Paths) == 0 {
			return r.errorAt(n, meant("", paths), "no path")
		}
		if len(e.Paths) > 1 && slices.Contains(e.Paths, None) {
			return r.errorAt(n, "", "none stands alone: a step fails or it does not")
		}
		return nil
	}},
	{name: "within", form: "duration", usage: "from the step's beginning to the first answered byte, or to what it waits for", read: expectDuration(func(e *Expect) *time.Duration { return &e.Within })},
	{name: "stall", form: "duration", usage: "of a transfer: the longest time in which nothing arrives", read: expectDuration(func(e *Expect) *time.Duration { return &e.Stall })},
	{name: "lost", form: "share", usage: "of pings, or of what light devices do: how many may fail (0)", read: func(r *reader, n ast.Node, e *Expect) (err error) {
		e.Lost, err = r.share(n)
		return err
	}},
	{name: "error", form: "text", usage: "part of the error with which the step fails", read: func(r *reader, n ast.Node, e *Expect) (err error) {
		if e.Error, err = r.text(n); err == nil && e.Error == "" {
			err = r.errorAt(n, "leave it out, then", "no error is not expected by an empty text")
		}
		return err
	}},
	{name: "udp", form: "yes, no, unknown", usage: "of netcheck: whether UDP passes", read: verdict("udp")},
	{name: "mapping", form: "endpoint-independent, …", usage: "of netcheck: how the NATs map, by the words of 'bdt netcheck'", read: verdict("mapping")},
	{name: "filtering", form: "endpoint-independent, …", usage: "of netcheck: how they filter", read: verdict("filtering")},
	{name: "hairpin", form: "yes, no, none, unknown", usage: "of netcheck: whether they turn packets around", read: verdict("hairpin")},
	{name: "ports", form: "yes, no, sometimes, unknown", usage: "of netcheck: whether they keep ports", read: verdict("ports")},
}

func expectDuration(field func(*Expect) *time.Duration) func(*reader, ast.Node, *Expect) error {
	return func(r *reader, n ast.Node, e *Expect) error {
		d, err := r.duration(n)
		if err == nil && d == 0 {
			err = r.errorAt(n, "", "nothing takes no time")
		}
		*field(e) = d
		return err
	}
}

// verdict reads a word of 'bdt netcheck'.
func verdict(name string) func(*reader, ast.Node, *Expect) error {
	words := []string{"endpoint-independent", "address-dependent", "address-and-port-dependent", "none", "unknown"}
	switch name {
	case "udp":
		words = []string{"yes", "no", "unknown"}
	case "hairpin":
		words = []string{"yes", "no", "none", "unknown"}
	case "ports":
		words = []string{"yes", "no", "sometimes", "unknown"}
	}
	return func(r *reader, n ast.Node, e *Expect) error {
		i, err := r.choice(n, words)
		if err != nil {
			return err
		}
		if e.Verdicts == nil {
			e.Verdicts = make(map[string]string)
		}
		e.Verdicts[name] = words[i]
		return nil
	}
}
