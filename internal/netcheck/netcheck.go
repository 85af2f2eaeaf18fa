package netcheck

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/nat64"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
	"github.com/bdtnet/bdt/underlay"
)

const (
	// Limit bounds an examination. One in which everything is lost takes 1.8 s, one
	// in which the last packets are 4 s.
	Limit = 5 * time.Second

	// A server is asked 4 times in 1.1 s, and has 0.7 s to answer the last time.
	surveyTries  = 4
	surveyGap    = 350 * time.Millisecond
	surveySettle = 700 * time.Millisecond

	// What may well not come is asked for 3 times, a third of the patience apart. The
	// patience is 3 round trips, within these.
	tries       = 3
	minPatience = 300 * time.Millisecond
	maxPatience = time.Second

	// maxTargets bounds the addresses of servers that are asked in a family.
	maxTargets = 16

	// Sockets bind ports portStep apart, from a random one between these on, so
	// that a NAT which keeps ports and needs several for one socket does not take another's.
	// All are below the dynamic ports of Linux, where other sockets are.
	minPort, maxPort = 10_000, 27_000
	portStep         = 997
)

// Config says what to examine, and from where.
type Config struct {
	Network underlay.Network   // required
	Servers [][]netip.AddrPort // the addresses of each server
	// Bind are the local addresses to ask from: the first of each family, with any port.
	Bind   []netip.Addr
	Logger *slog.Logger // nil: discard
}

// Examine examines the network. It takes at most [Limit]; if ctx ends before,
// what is not known yet is unknown. The error is of the local machine: sockets cannot be
// opened, interfaces are not known.
func Examine(ctx context.Context, cfg Config) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, Limit)
	defer cancel()
	own, err := ownAddrs(cfg.Network)
	if err != nil {
		return nil, fmt.Errorf("netcheck: %w", err)
	}
	r := &Report{Servers: make([]Server, len(cfg.Servers))}
	var running sync.WaitGroup
	errs := make([]error, 2)
	for i, is4 := range []bool{true, false} {
		f := &family{cfg: cfg, is4: is4, own: own, desk: desk{waiting: make(map[stun.TransactionID]chan<- arrival)}}
		found := &r.IPv6
		if is4 {
			found = &r.IPv4
		}
		running.Go(func() { *found, errs[i] = f.examine(ctx, r.Servers) })
	}
	running.Wait()
	// A machine may well have one family alone.
	if errs[0] != nil && errs[1] != nil {
		return nil, fmt.Errorf("netcheck: %w", errs[0])
	}
	return r, nil
}

// ownAddrs returns the addresses of the machine.
func ownAddrs(n underlay.Network) (map[netip.Addr]bool, error) {
	interfaces, err := n.Interfaces()
	if err != nil {
		return nil, err
	}
	own := make(map[netip.Addr]bool)
	for _, i := range interfaces {
		for _, p := range i.Prefixes {
			own[p.Addr()] = true
		}
	}
	return own, nil
}

// A family is the examination of IPv4 or of IPv6.
type family struct {
	cfg  Config
	is4  bool
	own  map[netip.Addr]bool
	bind netip.Addr
	desk desk

	mu        sync.Mutex
	sockets   []*socket.Socket
	firstPort int
	kept, all int // sockets whose port was kept, of how many
}

// A target is one address of a server, and what was learnt about it.
type target struct {
	server   int
	addr     netip.AddrPort
	rtt      time.Duration // 0: no answer
	observed netip.AddrPort
	other    netip.AddrPort // another port and perhaps address of the server; zero: none
	prefix64 netip.Prefix   // of a NAT64, by which addr stands for an IPv4 address; zero: none
}

// setOther notes the other address that a server has told, and by what prefix of a NAT64 it is
// asked itself, which follows from where it says that it was asked.
func (t *target) setOther(origin, other netip.AddrPort) {
	t.prefix64, _ = nat64.Prefix(t.addr.Addr(), origin.Addr())
	t.other = other
	if a, ok := t.here(other); ok {
		t.other = a
	}
}

// here returns by what address to send to one that the server has named: behind a NAT64 an IPv4
// address is not it. It reports false if there is none, or the server is not to be believed.
func (t *target) here(a netip.AddrPort) (netip.AddrPort, bool) {
	own := t.addr.Addr()
	if a.Addr().Is4() == own.Is4() {
		return a, mayName(own, a.Addr())
	}
	own4, ok := nat64.Extract(t.prefix64, own)
	if !ok || !mayName(own4, a.Addr()) {
		return netip.AddrPort{}, false
	}
	a6, ok := nat64.Embed(t.prefix64, a.Addr())
	return netip.AddrPortFrom(a6, a.Port()), ok
}

// secondPort returns the other port of the target's own address, zero if it has none.
func (t *target) secondPort() netip.AddrPort {
	if !t.other.IsValid() || t.other.Port() == t.addr.Port() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(t.addr.Addr(), t.other.Port())
}

// hasAddress2 reports whether the server has another address.
func (t *target) hasAddress2() bool {
	a := t.other.Addr()
	return t.other.IsValid() && a != t.addr.Addr() && a.Is4() == t.addr.Addr().Is4() && mayName(t.addr.Addr(), a)
}

// mayName reports whether to believe the server at own that an address is its own, or ours, so far as to
// send to it: no server gets packets into a network that it is not in itself.
func mayName(own, a netip.Addr) bool {
	switch {
	case a.IsLoopback():
		return own.IsLoopback()
	case a.IsPrivate():
		return own.IsPrivate()
	}
	return a.IsGlobalUnicast()
}

// examine examines the family, and notes how the servers are reached.
func (f *family) examine(ctx context.Context, servers []Server) (Family, error) {
	defer f.close()
	targets := f.targets()
	i := slices.IndexFunc(f.cfg.Bind, func(a netip.Addr) bool { return a.Is4() == f.is4 })
	switch {
	case len(targets) == 0:
		return nothing(whyNoServer), nil
	case i < 0:
		return nothing(whyNoBind), nil
	}
	f.bind = f.cfg.Bind[i]
	f.firstPort = minPort + jitter.N(maxPort-minPort)
	sock, err := f.open()
	if err != nil {
		return nothing(whyNoSocket), err
	}
	f.survey(ctx, sock, targets)
	f.note(targets, servers)
	targets = slices.DeleteFunc(targets, func(t target) bool { return t.rtt == 0 })
	// What is translated into the other family says nothing about this one, unless
	// there is nothing else.
	if slices.ContainsFunc(targets, f.native) {
		targets = slices.DeleteFunc(targets, func(t target) bool { return !f.native(t) })
	}
	if len(targets) == 0 {
		found := nothing(whyNoAnswer)
		found.Asked = true
		return found, nil
	}
	return f.classify(ctx, sock, targets), nil
}

// nothing is a family of which nothing is known, for one reason.
func nothing(why string) Family {
	u := unknown(why)
	return Family{Mapping: u, Filtering: u, Hairpin: u, PortPreservation: u}
}

// targets are the servers' addresses of the family.
func (f *family) targets() []target {
	var list []target
	for i, addrs := range f.cfg.Servers {
		for _, a := range addrs {
			known := slices.ContainsFunc(list, func(t target) bool { return t.addr == a })
			if a.Addr().Is4() == f.is4 && !known && len(list) < maxTargets {
				list = append(list, target{server: i, addr: a})
			}
		}
	}
	return list
}

// open opens a socket that the family closes.
func (f *family) open() (*socket.Socket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	port := uint16(f.firstPort + portStep*len(f.sockets))
	cfg := socket.Config{
		Network: f.cfg.Network,
		Local:   netip.AddrPortFrom(f.bind, port),
		Handler: &f.desk,
		Batch:   1,
		Logger:  f.cfg.Logger,
	}
	s, err := socket.Open(cfg)
	if err != nil { // the port may be taken
		cfg.Local = netip.AddrPortFrom(f.bind, 0)
		if s, err = socket.Open(cfg); err != nil {
			return nil, err
		}
	}
	f.sockets = append(f.sockets, s)
	return s, nil
}

func (f *family) close() {
	for _, s := range f.sockets {
		s.Close()
	}
}

// local reports whether a socket's mapped address is its own: nothing
// translates it.
func (f *family) local(a netip.AddrPort) bool { return f.own[a.Addr()] }

// native reports whether a server sees us in the family that we send in: there is no NAT64.
func (f *family) native(t target) bool { return t.observed.Addr().Is4() == f.is4 }

// survey asks all targets from one socket.
func (f *family) survey(ctx context.Context, sock *socket.Socket, targets []target) {
	var asking sync.WaitGroup
	for i := range targets {
		t := &targets[i]
		asking.Go(func() {
			q := question{
				sock: sock, to: t.addr, query: stun.Query{Other: true},
				tries: surveyTries, gap: surveyGap, settle: surveySettle,
			}
			a, rtt, ok := f.desk.ask(ctx, q)
			if ok && a.Refused != 0 { // it has nothing else, and says so
				q.query = stun.Query{}
				a, rtt, ok = f.desk.ask(ctx, q)
			}
			if ok && a.Refused == 0 {
				t.rtt, t.observed = rtt, a.Mapped
				t.setOther(a.Origin, a.Other)
			}
		})
	}
	asking.Wait()
}

// note notes the way to each server that answered first.
func (f *family) note(targets []target, servers []Server) {
	for _, t := range targets {
		r := &servers[t.server].IPv6
		if f.is4 {
			r = &servers[t.server].IPv4
		}
		if r.Addr.IsValid() && (t.rtt == 0 || r.RTT != 0 && r.RTT <= t.rtt) {
			continue
		}
		*r = Reach{Addr: t.addr, RTT: t.rtt, Observed: t.observed, Address2: t.hasAddress2()}
		if t.secondPort().IsValid() {
			r.Ports = 2
		} else if t.rtt != 0 {
			r.Ports = 1
		}
	}
}
