package bdt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/netcheck"
	"github.com/bdtnet/bdt/internal/snclient"
)

// A NetReport is what [Stack.NetCheck] found out about the network.
type NetReport struct {
	Time time.Time     `json:"time"` // when the check began
	Took time.Duration `json:"-"`    // took_ms in JSON

	// UDP says whether UDP passes between here and any SN: "yes", "no" (it is
	// blocked, or all SNs are down), "unknown" (there is no SN to ask).
	UDP  Verdict   `json:"udp"`
	IPv4 NetFamily `json:"ipv4"`
	IPv6 NetFamily `json:"ipv6"`

	SNs []SNReach `json:"sns"` // those of the configuration, in its order

	// Candidates are what a peer would see: the addresses of this device that
	// the SNs hold for its callers, best first. Visibility says who gets them
	// from the SNs: "everyone", "zone", "nobody". To those whom its own policy lets in
	// the device tells them itself.
	Candidates []NetCandidate `json:"candidates"`
	Visibility string         `json:"visibility"`
}

// A Verdict is what was found out about a property of the network. Value is one
// of a few words; if it is "unknown", Why says why, and what it would take.
type Verdict struct {
	Value string `json:"value"`
	Why   string `json:"why,omitempty"`
}

// A NetFamily is how one family of addresses works here.
type NetFamily struct {
	Asked  bool         `json:"asked"`  // there is an SN to ask over it, and a socket to ask from
	Works  bool         `json:"works"`  // an SN answered over it
	NAT64  bool         `json:"nat64"`  // of IPv6: SNs are reached through a NAT64 alone, and Global is its IPv4 address
	Local  []netip.Addr `json:"local"`  // global addresses of the interfaces, private ones among them
	Global netip.Addr   `json:"global"` // where SNs see this machine; zero: not known

	// Mapping and Filtering are those of the NATs and firewalls on the way, by the
	// names of RFC 4787 §4.1 and §5: "endpoint-independent", "address-dependent",
	// "address-and-port-dependent"; Mapping is "none" where nothing translates.
	Mapping   Verdict `json:"mapping"`
	Filtering Verdict `json:"filtering"`
	// Hairpin says whether a NAT turns packets around that are sent to its own
	// mappings: "yes", "no"; "none" where there is no NAT.
	Hairpin Verdict `json:"hairpin"`
	// PortPreservation says whether mappings have the port of the socket: "yes", "no", "sometimes".
	PortPreservation Verdict `json:"port_preservation"`
}

// An SNReach is how a super node is reached.
type SNReach struct {
	Ref   identity.Ref `json:"-"`               // sn in JSON
	State string       `json:"state"`           // of the registration there, as in [SNStatus]
	Error string       `json:"error,omitempty"` // why its name does not resolve
	IPv4  Reach        `json:"ipv4"`
	IPv6  Reach        `json:"ipv6"`
}

// A Reach is how something is reached over one family; it is zero if that is not
// possible at all.
type Reach struct {
	Addr         netip.AddrPort `json:"addr"`          // that answered, or else was asked
	RTT          time.Duration  `json:"-"`             // 0: no answer; rtt_ms in JSON, null if 0
	Observed     netip.AddrPort `json:"observed"`      // of the socket that asked
	Ports        int            `json:"ports"`         // on which it offers STUN
	TwoAddresses bool           `json:"two_addresses"` // it can name NATs alone
}

// A NetCandidate is an address of this device as its callers are told.
type NetCandidate struct {
	Kind string         `json:"kind"` // "host", "server-reflexive", "configured", …
	Addr netip.AddrPort `json:"addr"`
}

// registerPatience is how long a check waits, beyond what else it does, for
// a registration that has not come about yet.
const registerPatience = time.Second

// CheckNetwork is [Stack.NetCheck] of a stack that it opens for that and closes.
func CheckNetwork(ctx context.Context, cfg Config) (*NetReport, error) {
	s, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.NetCheck(ctx)
}

// NetCheck examines the network between this device and its SNs: whether UDP
// passes, how the NATs on the way behave, how far the SNs are, and what callers
// get to know. It uses sockets of its own, sends a few dozen small packets to the SNs and
// to its own mapped addresses, and takes at most about 5 s. If ctx ends before,
// what was not found out yet is "unknown". The error is one of this machine.
func (s *Stack) NetCheck(ctx context.Context) (*NetReport, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, netcheck.Limit)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	if s.isClosed() {
		return nil, &OpError{Op: "check network", Err: ErrClosed}
	}
	r := &NetReport{Time: start, Visibility: s.cfg.Visibility.String(), Candidates: []NetCandidate{}}
	servers := s.reachSNs(ctx, r)
	var bind []netip.Addr
	for _, a := range s.LocalAddrs() {
		bind = append(bind, a.Addr())
	}
	found, err := netcheck.Examine(ctx, netcheck.Config{Network: s.cfg.Network, Servers: servers, Bind: bind, Logger: s.log})
	if err != nil {
		return nil, &OpError{Op: "check network", Err: err}
	}
	for i := range r.SNs {
		r.SNs[i].IPv4, r.SNs[i].IPv6 = reach(found.Servers[i].IPv4), reach(found.Servers[i].IPv6)
	}
	r.IPv4, r.IPv6 = family(found.IPv4), family(found.IPv6)
	s.localAddrs(r)
	r.UDP = udp(found, len(r.SNs))
	s.awaitRegistrations(ctx, r)
	for _, c := range (host{s}).Candidates() {
		r.Candidates = append(r.Candidates, NetCandidate{Kind: c.Kind.String(), Addr: c.Addr})
	}
	r.Took = time.Since(start)
	return r, nil
}

// reachSNs resolves the SNs of the configuration, notes them in the report, and
// returns their addresses.
func (s *Stack) reachSNs(ctx context.Context, r *NetReport) [][]netip.AddrPort {
	r.SNs = make([]SNReach, len(s.cfg.SNs))
	servers := make([][]netip.AddrPort, len(s.cfg.SNs))
	var resolving sync.WaitGroup
	for i, ref := range s.cfg.SNs {
		r.SNs[i].Ref = ref
		resolving.Go(func() {
			var err error
			if servers[i], err = s.resolveSN(ctx, ref); err != nil {
				r.SNs[i].Error = err.Error()
			}
		})
	}
	resolving.Wait()
	return servers
}

// resolveSN returns the addresses of an SN.
func (s *Stack) resolveSN(ctx context.Context, ref identity.Ref) ([]netip.AddrPort, error) {
	host, text, err := net.SplitHostPort(ref.Addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q is not a number up to 65535", text)
	}
	addrs, err := s.resolver().LookupNetIP(ctx, host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		list[i] = netip.AddrPortFrom(a.Unmap(), uint16(port))
	}
	return list, nil
}

// localAddrs notes the interfaces' addresses.
func (s *Stack) localAddrs(r *NetReport) {
	for _, p := range (host{s}).prefixes() {
		a := p.Addr()
		if !a.IsGlobalUnicast() {
			continue
		}
		f := &r.IPv6
		if a.Is4() {
			f = &r.IPv4
		}
		if !slices.Contains(f.Local, a) {
			f.Local = append(f.Local, a)
		}
	}
}

// awaitRegistrations waits a little for the SNs that answer, and notes the state at each.
func (s *Stack) awaitRegistrations(ctx context.Context, r *NetReport) {
	ctx, cancel := context.WithTimeout(ctx, registerPatience)
	defer cancel()
	var waiting sync.WaitGroup
	clients := s.clients()
	for i := range r.SNs {
		n := &r.SNs[i]
		at := slices.IndexFunc(clients, func(c *snclient.Client) bool { return c.Ref() == n.Ref })
		if at < 0 { // it is closed
			n.State = snclient.Closed.String()
			continue
		}
		waiting.Go(func() {
			if n.IPv4.RTT > 0 || n.IPv6.RTT > 0 {
				_ = clients[at].WaitOnline(ctx) // the state tells
			}
			n.State = clients[at].State().String()
		})
	}
	waiting.Wait()
}

// udp says whether UDP passes.
func udp(r *netcheck.Report, sns int) Verdict {
	switch {
	case sns == 0:
		return Verdict{netcheck.Unknown, "there is no super node to ask"}
	case r.IPv4.Works || r.IPv6.Works:
		return Verdict{Value: netcheck.Yes}
	case !r.IPv4.Asked && !r.IPv6.Asked:
		return Verdict{netcheck.Unknown, "no super node has an address that this device has a socket for"}
	}
	return Verdict{netcheck.No, "no super node answers: UDP is blocked, or they are down"}
}

func reach(r netcheck.Reach) Reach {
	return Reach{Addr: r.Addr, RTT: r.RTT, Observed: r.Observed, Ports: r.Ports, TwoAddresses: r.Address2}
}

func family(f netcheck.Family) NetFamily {
	return NetFamily{
		Local:            []netip.Addr{},
		Asked:            f.Asked,
		Works:            f.Works,
		NAT64:            f.NAT64,
		Global:           f.Observed.Addr(),
		Mapping:          Verdict(f.Mapping),
		Filtering:        Verdict(f.Filtering),
		Hairpin:          Verdict(f.Hairpin),
		PortPreservation: Verdict(f.PortPreservation),
	}
}

// String returns the name that reports use.
func (v Visibility) String() string {
	switch v {
	case VisibleToEveryone:
		return "everyone"
	case VisibleToZone:
		return "zone"
	case VisibleToNobody:
		return "nobody"
	}
	return fmt.Sprintf("Visibility(%d)", uint8(v))
}
