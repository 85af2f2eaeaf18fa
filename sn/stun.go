package sn

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
)

// How many answers a second go to another port than that of the request: to one
// host, and in all (spec §6). They are the only packets that nobody waits for at the
// port that the server sends from.
var (
	elsewhereRate  = Rate{PerSecond: 5, Burst: 20}
	elsewhereTotal = Rate{PerSecond: 1000, Burst: 1000}
)

// elsewhereLimit bounds the hosts that are counted for elsewhereRate. They are
// swept away once their bucket is full again, 4 s after the last answer at most.
const elsewhereLimit = 16_384

// A stunService is what STUN takes beside the sockets.
type stunService struct {
	seconds []*socket.Socket                   // the other ports, for STUN, of those that Config.Listen names
	changes atomic.Pointer[map[sender]changes] // nil until all sockets are open: readers run before
	hosts   *table[netip.Addr, bucket]         // of elsewhereRate, by the prefix's first address
	mu      sync.Mutex
	total   bucket // of elsewhereTotal
}

// An exit is a socket that an answer may leave by.
type exit struct {
	via  sender // nil: there is none
	addr netip.AddrPort
}

// Changes are the sockets that an answer may leave by instead of the one that was
// asked (RFC 5780 §6.1).
type changes struct {
	own, port, ip, both exit
}

// pick returns where the answer to a query leaves.
func (c *changes) pick(q stun.Query) exit {
	switch {
	case q.ChangeIP && q.ChangePort:
		return c.both
	case q.ChangeIP:
		return c.ip
	case q.ChangePort:
		return c.port
	}
	return c.own
}

// full reports whether the server does here all that RFC 5780 asks of one.
func (c *changes) full() bool { return c.port.via != nil && c.ip.via != nil && c.both.via != nil }

// other is what OTHER-ADDRESS says: where both changes lead to, or as much of
// them as there is.
func (c *changes) other() netip.AddrPort {
	for _, x := range []exit{c.both, c.ip, c.port} {
		if x.via != nil {
			return x.addr
		}
	}
	return netip.AddrPort{}
}

// makeChanges finds for each socket its counterparts: the next port of the same
// address, and the next address of the family with the same and with that other port. A wildcard
// address is one address, whatever it stands for.
func makeChanges(exits []exit) map[sender]changes {
	all := make(map[sender]changes)
	for _, own := range exits {
		c := changes{own: own}
		a, p := own.addr.Addr(), own.addr.Port()
		c.port = after(exits, own, func(x netip.AddrPort) bool { return x.Addr() == a && x.Port() != p })
		if !a.IsUnspecified() {
			c.ip = after(exits, own, func(x netip.AddrPort) bool {
				return x.Addr() != a && x.Addr().Is4() == a.Is4() && !x.Addr().IsUnspecified() && x.Port() == p
			})
		}
		if c.port.via != nil && c.ip.via != nil {
			want := netip.AddrPortFrom(c.ip.addr.Addr(), c.port.addr.Port())
			c.both = after(exits, own, func(x netip.AddrPort) bool { return x == want })
		}
		all[own.via] = c
	}
	return all
}

// after returns the first exit behind own, around the end, whose address is good.
func after(exits []exit, own exit, good func(netip.AddrPort) bool) exit {
	first := slices.Index(exits, own)
	for i := range exits {
		if x := exits[(first+i)%len(exits)]; good(x.addr) {
			return x
		}
	}
	return exit{}
}

// listenSTUN opens the second port of each address that has only one, and
// learns the counterparts of all sockets. It fails if the operator named the
// port and it cannot be had.
func (s *Server) listenSTUN() error {
	st := &s.stun
	ports := make(map[netip.Addr]int)
	exits := make([]exit, 0, 2*len(s.sockets))
	for _, sock := range s.sockets {
		ports[sock.LocalAddr().Addr()]++
		exits = append(exits, exit{sock, sock.LocalAddr()})
	}
	for _, sock := range s.sockets {
		if ports[sock.LocalAddr().Addr()] > 1 || s.cfg.STUNPort < 0 {
			continue
		}
		second, err := s.openSecond(sock.LocalAddr())
		if err != nil {
			if s.cfg.STUNPort > 0 {
				return err
			}
			s.cfg.Logger.Warn("no second port for STUN: devices cannot tell as much about their NATs", "err", err)
			continue
		}
		st.seconds = append(st.seconds, second)
		exits = append(exits, exit{second, second.LocalAddr()})
	}
	all := makeChanges(exits)
	st.changes.Store(&all)
	return nil
}

// openSecond opens the second port of an address: the one that the operator
// named, the next, or any if the first was any.
func (s *Server) openSecond(first netip.AddrPort) (*socket.Socket, error) {
	port := first.Port() + 1 // 0 behind the last: any
	if s.cfg.STUNPort > 0 {
		port = uint16(s.cfg.STUNPort)
	}
	if slices.ContainsFunc(s.cfg.Listen, func(a netip.AddrPort) bool { return a.Addr() == first.Addr() && a.Port() == 0 }) {
		port = 0
	}
	return socket.Open(socket.Config{
		Network: s.cfg.Network,
		Local:   netip.AddrPortFrom(first.Addr(), port),
		Handler: s,
		Batch:   1,
		Logger:  s.cfg.Logger,
	})
}

// STUNAddrs returns the second ports that the server opened for STUN, in the order of
// Addrs. All that is served on Addrs is served there, too.
func (s *Server) STUNAddrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.stun.seconds))
	for i, sock := range s.stun.seconds {
		addrs[i] = sock.LocalAddr()
	}
	return addrs
}

// handleSTUN answers a Binding request (spec §6). No answer goes to another host
// than the one that the request came from.
func (s *Server) handleSTUN(from place, b []byte) {
	r, ok := stun.ParseRequest(b)
	if !ok {
		s.count.malformed.Add(1)
		return
	}
	buf := scratches.Get().(*scratch)
	defer scratches.Put(buf)
	c := s.stun.changesOf(from.via)
	out := c.pick(r.Query)
	switch {
	case len(r.Unknown) > 0:
		s.answerSTUN(from, r.AppendRefusal(buf.out[:0]))
		return
	case out.via == nil && (r.ChangeIP || r.ChangePort), r.Other && !c.other().IsValid():
		s.answerSTUN(from, r.AppendNoChange(buf.out[:0]))
		return
	}
	to := place{from.via, from.addr}
	if r.ChangeIP || r.ChangePort {
		to.via = out.via
	}
	if r.ResponsePort != 0 {
		if !s.mayElsewhere(from.addr.Addr(), time.Since(s.start)) {
			s.count.limited.Add(1)
			return
		}
		to.addr = netip.AddrPortFrom(from.addr.Addr(), r.ResponsePort)
	}
	var origin, other netip.AddrPort
	if r.Other || c.full() {
		other = c.other()
		if !out.addr.Addr().IsUnspecified() {
			origin = out.addr
		}
	}
	s.answerSTUN(to, r.AppendAnswer(buf.out[:0], from.addr, origin, other))
}

// changesOf returns what a socket can be exchanged for.
func (t *stunService) changesOf(via sender) changes {
	if all := t.changes.Load(); all != nil {
		return (*all)[via]
	}
	return changes{}
}

// answerSTUN sends an answer.
func (s *Server) answerSTUN(to place, b []byte) {
	s.count.stun.Add(1)
	s.send(to, b)
}

// mayElsewhere reports whether an answer may go to another port of a host than
// it asked from.
func (s *Server) mayElsewhere(host netip.Addr, now time.Duration) bool {
	if host.Is6() {
		p, _ := host.Prefix(64) // fails only for a longer prefix than the address
		host = p.Addr()
	}
	var one bool
	known := s.stun.hosts.update(host, func(b bucket) bucket {
		one = b.take(elsewhereRate, now)
		return b
	})
	if !known || !one {
		return false
	}
	s.stun.mu.Lock()
	defer s.stun.mu.Unlock()
	return s.stun.total.take(elsewhereTotal, now)
}
