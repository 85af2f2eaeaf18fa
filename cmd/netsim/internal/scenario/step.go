package scenario

import (
	"fmt"
	"strings"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// An Action is what a step does.
type Action string

// The actions, by the key that a step has in the file.
const (
	DoDial     Action = "dial"     // From opens a stream to To and waits for the first answered byte
	DoCall     Action = "call"     // From asks To one question
	DoPing     Action = "ping"     // From pings To, Count times, Every apart
	DoTransfer Action = "transfer" // From sends To Size bytes
	DoNetcheck Action = "netcheck" // From examines its network
	DoOnline   Action = "online"   // waits until From is online
	DoStart    Action = "start"    // starts the device or SN Target
	DoStop     Action = "stop"     // stops the device or SN Target
	DoCut      Action = "cut"      // cuts the link Target, and mends it after For if that is not 0
	DoMend     Action = "mend"     // mends the link Target
	DoSet      Action = "set"      // changes the link Target to Config
	DoReboot   Action = "reboot"   // the node Target forgets what it knows, and is down for For
	DoMove     Action = "move"     // the host Target leaves its links, and gets one to the node To, with Addrs and Config
	DoAdd      Action = "add"      // the host Target gains Addrs on the link Link
	DoRemove   Action = "remove"   // the host Target loses Addrs
	DoWait     Action = "wait"     // waits for For
	DoLoad     Action = "load"     // the light devices From do what Load says
)

// A Step is one thing that happens, or is done, and what is expected of it. Which fields
// mean anything depends on the action, whose comment names them.
type Step struct {
	Line int
	// Timed: the step begins At, counted from when the first step may begin, whether or
	// not those before it are over. Without, it begins when all before it are over.
	Timed bool
	At    time.Duration

	Do      Action
	From    string // the device that acts
	To      string // the device that it is done to; or the node that is moved to
	Target  string // the link, node, host, device or SN that is changed
	Link    string
	Addrs   []string
	Config  netsim.LinkConfig
	Changes []string // DoSet: the keys of Config that the file names
	Count   int
	Every   time.Duration
	Size    int64 // bytes
	For     time.Duration
	Load    Load

	Expect Expect
}

// A Load is what light devices do.
type Load struct {
	Kind   string // "rest", "ping", "call"
	AtOnce int    // pings or calls at a time; 0: 64
}

// An Expect is what is expected of a step. The zero value expects that it succeeds.
type Expect struct {
	Line int
	// Paths is how the peer is to be reached: any of "lan", "direct", "punched",
	// "relayed"; empty: by whatever path. "none": it is not to be reached.
	Paths []string
	// Within bounds the time from the step's beginning to the first answered byte, or to
	// whatever it waits for. 0: no bound.
	Within time.Duration
	// Stall bounds the longest time in which nothing arrived of a transfer. 0: no bound.
	Stall time.Duration
	// Lost bounds the pings, or operations of light devices, that may fail, as a share
	// of all. 0: none may.
	Lost float64
	// Error is part of the text of the error that is expected.
	Error string
	// Of DoNetcheck: the Verdicts on IPv4, or on IPv6 where there is no IPv4; by "udp", "mapping", "filtering",
	// "hairpin", "ports".
	Verdicts map[string]string
}

// Words of Expect.Paths: no path, and one through a PN.
const (
	None    = "none"
	Relayed = "relayed"
)

// Fails reports whether the step is expected to fail.
func (e Expect) Fails() bool {
	return e.Error != "" || len(e.Paths) == 1 && e.Paths[0] == None
}

// String is what is expected, in a few words.
func (e Expect) String() string {
	var words []string
	if len(e.Paths) > 0 {
		words = append(words, "path "+strings.Join(e.Paths, " or "))
	}
	if e.Within > 0 {
		words = append(words, fmt.Sprintf("within %v", e.Within))
	}
	if e.Stall > 0 {
		words = append(words, fmt.Sprintf("no stall over %v", e.Stall))
	}
	if e.Lost > 0 {
		words = append(words, fmt.Sprintf("at most %g %% lost", 100*e.Lost))
	}
	if e.Error != "" {
		words = append(words, fmt.Sprintf("the error %q", e.Error))
	}
	for _, name := range Verdicts {
		if v, ok := e.Verdicts[name]; ok {
			words = append(words, name+" "+v)
		}
	}
	if len(words) == 0 {
		return "success"
	}
	return strings.Join(words, ", ")
}

// Verdicts are the names that Expect.Verdicts may have, in order.
var Verdicts = []string{"udp", "mapping", "filtering", "hairpin", "ports"}

// Text is the step in a line, as people say it.
func (s Step) Text() string {
	switch s.Do {
	case DoDial, DoCall, DoPing:
		return fmt.Sprintf("%s: %s → %s", s.Do, s.From, s.To)
	case DoTransfer:
		return fmt.Sprintf("transfer: %s → %s, %s", s.From, s.To, sizeText(s.Size))
	case DoNetcheck, DoOnline:
		return fmt.Sprintf("%s: %s", s.Do, s.From)
	case DoWait:
		return fmt.Sprintf("wait: %v", s.For)
	case DoMove:
		return fmt.Sprintf("move: %s to %s", s.Target, s.To)
	case DoAdd, DoRemove:
		return fmt.Sprintf("%s: %s %s", s.Do, s.Target, strings.Join(s.Addrs, ", "))
	case DoLoad:
		if s.Load.Kind == "register" {
			return fmt.Sprintf("load: %s register", s.From)
		}
		return fmt.Sprintf("load: %s %s for %v", s.From, s.Load.Kind, s.For)
	case DoSet:
		return fmt.Sprintf("set: %s %s", s.Target, strings.Join(s.Changes, ", "))
	}
	if s.For > 0 {
		return fmt.Sprintf("%s: %s for %v", s.Do, s.Target, s.For)
	}
	return fmt.Sprintf("%s: %s", s.Do, s.Target)
}

// sizeText is a number of bytes, in the largest unit that it is whole in.
func sizeText(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}} {
		if n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d %s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
