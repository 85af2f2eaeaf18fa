package scenario

import (
	"net/netip"
	"slices"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

const (
	// DefaultLimit is how long a scenario may take, by its own clock.
	DefaultLimit = time.Hour
	// DefaultReady is how long devices may take to come online before the steps begin.
	DefaultReady = 5 * time.Second
	// DefaultPort is where super nodes listen, and DefaultProxyPort where proxy nodes do.
	DefaultPort, DefaultProxyPort = 8443, 8444
)

// A File is a scenario. Line, in all that it holds, is where it stands in the
// file, counted from 1; 0 in what was not read from a file.
type File struct {
	Path  string // of the file, as Parse was given it
	Name  string // what it is about, in a line
	Seed  uint64
	Limit time.Duration // of the whole, by the simulated clock; DefaultLimit
	// Ready is how long the devices may take to come online before the steps begin, by the
	// simulated clock; DefaultReady. What cannot come online by then does not
	// hold up the others.
	Ready time.Duration

	Nodes      []Node
	Links      []Link
	SuperNodes []SuperNode
	ProxyNodes []ProxyNode
	Devices    []Device
	Steps      []Step
}

// A Kind is what a node is.
type Kind string

// The kinds of nodes.
const (
	Host   Kind = "host"
	Router Kind = "router"
	Switch Kind = "switch"
	NAT    Kind = "nat" // or a firewall
)

// A Node is a machine of the network.
type Node struct {
	Line   int
	Name   string
	Kind   Kind
	Preset string           // of a NAT: the name of a netsim.Preset; empty: NAT says how it is
	NAT    netsim.NATConfig // of a NAT without a preset
}

// A Link joins a node to the one above it.
type Link struct {
	Line   int
	Name   string // "FROM-TO" unless the file says otherwise
	From   string // the lower node
	To     string // the upper node
	Addrs  []string
	Config netsim.LinkConfig
}

// A SuperNode is a super node (SN) that runs on a host.
type SuperNode struct {
	Line    int
	Name    string
	Host    string
	Listen  []netip.AddrPort // empty: DefaultPort of every address of the host
	Stopped bool             // a step starts it
}

// A ProxyNode is a proxy node (PN) that runs on a host and relays for everybody.
type ProxyNode struct {
	Line    int
	Name    string
	Host    string
	Listen  []netip.AddrPort // empty: DefaultProxyPort of every address of the host
	Stopped bool             // a step starts it
}

// Services that a device can serve, beside those that it always does.
const (
	Echo = "echo" // returns what it reads
	Sink = "sink" // takes bytes and tells how many came, and their hash
	Call = "call" // answers a question by itself
)

// A Device is a device that runs on a host, or many that share one.
type Device struct {
	Line  int
	Name  string
	Host  string
	SNs   []string // by name, in order; empty: all
	PNs   []string // the same, through which it may be relayed; empty: all, if not NoPNs
	NoPNs bool
	Serve []string // Echo, Sink, Call; empty: all of them, if not NoServe
	// NoServe: it offers nothing.
	NoServe bool
	// Access says who may use what it serves: "everyone", "zone", "nobody"; empty: everyone.
	Access string
	// Owner is any name: devices of one owner are a zone. Empty: none.
	Owner string
	OOD   bool // it answers for its owner
	// Visible is to whom SNs show its addresses: "everyone", "zone", "nobody"; empty:
	// everyone.
	Visible string
	// KeepAlive is the time between packets that keep a NAT's mapping; 0: learned.
	KeepAlive time.Duration
	NoLAN     bool // it does not look for others on the local network
	Stopped   bool // a step starts it

	// Count of more than 0 makes it that many light devices, which have identities
	// and registrations of their own but share sockets, and can only be loaded with
	// [DoLoad].
	Count int
}

// Node returns a node by its name.
func (f *File) Node(name string) (*Node, bool) {
	return find(f.Nodes, func(n Node) bool { return n.Name == name })
}

// Link returns a link by its name.
func (f *File) Link(name string) (*Link, bool) {
	return find(f.Links, func(l Link) bool { return l.Name == name })
}

// SuperNode returns an SN by its name.
func (f *File) SuperNode(name string) (*SuperNode, bool) {
	return find(f.SuperNodes, func(s SuperNode) bool { return s.Name == name })
}

// ProxyNode returns a PN by its name.
func (f *File) ProxyNode(name string) (*ProxyNode, bool) {
	return find(f.ProxyNodes, func(p ProxyNode) bool { return p.Name == name })
}

// Device returns a device by its name.
func (f *File) Device(name string) (*Device, bool) {
	return find(f.Devices, func(d Device) bool { return d.Name == name })
}

func find[T any](list []T, is func(T) bool) (*T, bool) {
	i := slices.IndexFunc(list, is)
	if i < 0 {
		return nil, false
	}
	return &list[i], true
}
