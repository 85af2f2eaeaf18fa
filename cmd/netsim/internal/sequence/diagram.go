package sequence

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// A Diagram is what passed between machines in some time.
type Diagram struct {
	Lanes []string // machines, from left to right
	Rows  []Row    // by time
	More  int      // packets and notes that there was no room for
}

// A Row is a packet, several alike that follow each other, or a note.
type Row struct {
	At       time.Duration // when it was sent, from the beginning of the diagram
	Arrived  time.Duration // when it was delivered or dropped; 0: it was neither
	From, To int           // lanes; the same for a note
	Via      []int         // lanes between the two that it passed
	Name     string        // of the packet
	Class    Class
	Size     int // bytes of the IP packet; 0: a note
	Count    int // how many alike, 1 or more; At and Arrived are of the first, Last of the last
	Last     time.Duration
	Dropped  string // why; empty: it was not
	Flying   bool   // it was on its way to To when all was over
	Detail   string // addresses, and what NATs made of them
}

// Note reports whether the row is a note beside a lane, not a packet.
func (r *Row) Note() bool { return r.Size == 0 }

// Options say what a diagram shows.
type Options struct {
	// Caller and Callee are the hosts at the left and at the right end.
	Caller, Callee string
	// SuperNode reports whether an address is a super node's. nil: none is.
	SuperNode func(netip.Addr) bool
	// From and To bound when packets were sent, by the network's clock. The zero To is the
	// end.
	From, To time.Duration
	// Rows is the most rows; 0: all.
	Rows int
}

// A journey is one packet from where it was sent to where it ended.
type journey struct {
	first, last netsim.Capture
	passed      []string // nodes, without the first
	changes     []netsim.Capture
	over        bool // delivered or dropped
}

// far is the node at the other end of the link that carries a packet.
func far(c netsim.Capture) string {
	low, up := c.Link.Ends()
	if c.Up {
		return up.Name()
	}
	return low.Name()
}

// end returns where a packet ended.
func (j *journey) end() string {
	if j.last.Fate < netsim.Delivered {
		return far(j.last)
	}
	return j.last.Node
}

// journeys puts captures together, by when the packets were sent.
func journeys(captures []netsim.Capture) []*journey {
	byID := make(map[uint64]*journey)
	var list []*journey
	for _, c := range captures {
		j := byID[c.ID]
		if j == nil {
			if c.Fate != netsim.Sent && c.Fate != netsim.Duplicated {
				continue // a copy for a further socket; or it was sent before
			}
			j = &journey{first: c}
			byID[c.ID] = j
			list = append(list, j)
		}
		switch c.Fate {
		case netsim.Marked, netsim.Reordered, netsim.Corrupted:
			continue // it goes on
		case netsim.Translated:
			if c.Src != c.OldSrc || c.Dst != c.OldDst {
				j.changes = append(j.changes, c)
			}
			continue
		}
		j.last = c
		j.over = c.Fate != netsim.Sent && c.Fate != netsim.Duplicated
		if !j.over {
			j.passed = append(j.passed, far(c))
		}
	}
	return list
}

// New draws what was captured.
func New(captures []netsim.Capture, o Options) *Diagram {
	if o.SuperNode == nil {
		o.SuperNode = func(netip.Addr) bool { return false }
	}
	b := &builder{opt: o, lane: make(map[string]int), mapped: make(map[mapping]bool)}
	all := journeys(captures)
	shown := slices.DeleteFunc(slices.Clone(all), func(j *journey) bool {
		return j.first.Time < o.From || o.To > 0 && j.first.Time > o.To
	})
	b.lanes(captures, shown)
	for _, j := range all {
		if j.first.Time < o.From {
			b.notes(j, false) // what is mapped already
		}
	}
	for _, j := range shown {
		b.notes(j, true)
		b.packet(j)
	}
	slices.SortStableFunc(b.Rows, func(x, y Row) int { return cmp.Compare(x.At, y.At) })
	b.fold()
	if o.Rows > 0 && len(b.Rows) > o.Rows {
		for _, r := range b.Rows[o.Rows:] {
			b.More += r.Count
		}
		b.Rows = b.Rows[:o.Rows]
	}
	return &b.Diagram
}

// A builder is a diagram that is being drawn.
type builder struct {
	Diagram
	opt    Options
	lane   map[string]int
	mapped map[mapping]bool
}

// A mapping is one that a NAT has made.
type mapping struct {
	node         string
	proto        netsim.Protocol
	inner, outer netip.AddrPort
}

// lanes orders the machines: what is between the caller and the internet, what is above and
// beside both, what is between the callee and the internet. A router where no packet ends has none.
func (b *builder) lanes(captures []netsim.Capture, shown []*journey) {
	up := make(map[string]string)
	var names []string // in order of appearance
	for _, c := range captures {
		low, high := c.Link.Ends()
		if _, ok := up[low.Name()]; !ok {
			up[low.Name()] = high.Name()
		}
		names = append(names, low.Name(), high.Name())
	}
	chain := func(from string) (list []string) {
		for n, ok := from, true; ok && !slices.Contains(list, n); n, ok = up[n] {
			list = append(list, n)
		}
		return list
	}
	left, right := chain(b.opt.Caller), chain(b.opt.Callee)
	shared := func(n string) bool { return slices.Contains(left, n) && slices.Contains(right, n) }
	var order []string
	add := func(list []string, is func(string) bool) {
		for _, n := range list {
			if is(n) && !slices.Contains(order, n) {
				order = append(order, n)
			}
		}
	}
	add(left, func(n string) bool { return !shared(n) })
	add(left, shared)
	add(names, func(n string) bool { return !slices.Contains(right, n) })
	slices.Reverse(right)
	add(right, func(string) bool { return true })

	ends := make(map[string]bool)
	for _, j := range shown {
		ends[j.first.Node], ends[j.end()] = true, true
		for _, c := range j.changes {
			ends[c.Node] = true
		}
	}
	for _, n := range order {
		if ends[n] {
			b.lane[n] = len(b.Lanes)
			b.Lanes = append(b.Lanes, n)
		}
	}
}

// notes adds a note for each mapping that a packet is the first to use on its way up.
func (b *builder) notes(j *journey, show bool) {
	for _, c := range j.changes {
		m := mapping{c.Node, c.Proto, c.OldSrc, c.Src}
		if !c.Up || c.Src == c.OldSrc || c.Proto == netsim.ICMP || b.mapped[m] {
			continue
		}
		b.mapped[m] = true
		if lane, ok := b.lane[c.Node]; ok && show {
			b.Rows = append(b.Rows, Row{
				At: c.Time - b.opt.From, From: lane, To: lane, Count: 1, Class: Other,
				Name: fmt.Sprintf("port %d becomes %d", c.OldSrc.Port(), c.Src.Port()), Detail: fmt.Sprintf("%s maps %s to %s, for %s", c.Node, c.OldSrc, c.Src, c.Dst),
			})
		}
	}
}

// packet adds a row for a packet.
func (b *builder) packet(j *journey) {
	r := Row{
		At: j.first.Time - b.opt.From, From: b.lane[j.first.Node], To: b.lane[j.end()], Count: 1, Size: j.first.Size,
		Detail: fmt.Sprintf("%s > %s", j.first.Src, j.first.Dst),
	}
	if j.first.Src.Port() == 0 {
		r.Detail = fmt.Sprintf("%s > %s", j.first.Src.Addr(), j.first.Dst.Addr())
	}
	r.Name, r.Class = identify(&j.first.Packet, func(a netip.Addr) bool { return b.opt.SuperNode(a) })
	if j.first.Fate == netsim.Duplicated {
		r.Name += " (a copy)"
	}
	if j.first.HopLimit < lowHopLimit {
		r.Detail += fmt.Sprintf(", hop limit %d", j.first.HopLimit)
	}
	for _, n := range j.passed {
		if lane, ok := b.lane[n]; ok && lane > min(r.From, r.To) && lane < max(r.From, r.To) {
			r.Via = append(r.Via, lane)
		}
	}
	for _, c := range j.changes {
		if c.Src != c.OldSrc {
			r.Detail += fmt.Sprintf(", from %s after %s", c.Src, c.Node)
		}
		if c.Dst != c.OldDst {
			r.Detail += fmt.Sprintf(", to %s after %s", c.Dst, c.Node)
		}
	}
	if j.over {
		r.Arrived = j.last.Time - b.opt.From
		if j.last.Fate != netsim.Delivered {
			r.Dropped = reasons[j.last.Fate]
			r.Detail += ", dropped at " + place(j.last)
		}
	} else if !j.first.Dst.Addr().IsMulticast() {
		r.Flying = true
	}
	r.Last = r.At
	b.Rows = append(b.Rows, r)
}

// lowHopLimit: below it a hop limit is meant.
const lowHopLimit = 32

// place is where a packet was dropped.
func place(c netsim.Capture) string {
	if c.Fate < netsim.Delivered {
		return "the link " + c.Link.String()
	}
	return c.Node
}

// reasons say why packets are dropped.
var reasons = map[netsim.Fate]string{
	netsim.Tampered: "taken off", netsim.DropDown: "down", netsim.DropMTU: "too large", netsim.DropLoss: "lost",
	netsim.DropQueue: "queue full", netsim.DropCoDel: "waited too long", netsim.DropTTL: "hop limit used up",
	netsim.DropNoRoute: "no route", netsim.DropFilter: "filtered", netsim.DropFull: "no port left",
	netsim.DropClosed: "no such socket", netsim.DropBuffer: "buffer full", netsim.DropChecksum: "wrong checksum",
	netsim.DropRate: "beyond the rate",
}

// fold makes one row of rows that follow each other and are alike.
func (b *builder) fold() {
	var rows []Row
	for _, r := range b.Rows {
		if n := len(rows) - 1; n >= 0 && !r.Note() && rows[n].alike(&r) {
			rows[n].Count++
			rows[n].Last = r.At
			continue
		}
		rows = append(rows, r)
	}
	b.Rows = rows
}

func (r *Row) alike(s *Row) bool {
	return r.From == s.From && r.To == s.To && r.Name == s.Name && r.Class == s.Class && r.Dropped == s.Dropped && r.Flying == s.Flying && !r.Note() && slices.Equal(r.Via, s.Via)
}

// Text says what a row is, in a few words.
func (r *Row) Text() string {
	if r.Note() {
		return r.Name
	}
	s := fmt.Sprintf("%s, %d B", r.Name, r.Size)
	if r.Count > 1 {
		s = fmt.Sprintf("%s, %d times", r.Name, r.Count)
	}
	switch {
	case r.Dropped != "":
		s += ", " + r.Dropped
	case r.Flying:
		s += ", on its way"
	}
	return s
}
