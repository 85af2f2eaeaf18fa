package netcheck

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
)

// classify finds out how the NAT behaves, with the help of targets that have
// answered to sock. What takes a mapping without a past uses a socket of its own.
func (f *family) classify(ctx context.Context, sock *socket.Socket, targets []target) Family {
	main := f.choose(targets)
	var (
		running sync.WaitGroup
		seen    []observation
		trial   trial
		back    tried
	)
	running.Go(func() { seen = f.observe(ctx, sock, targets) })
	running.Go(func() { trial = f.tryFilter(ctx, main, targets) })
	running.Go(func() { back = f.tryHairpin(ctx, main) })
	running.Wait()

	answered := func(by netip.AddrPort) bool {
		return slices.ContainsFunc(seen, func(o observation) bool { return o.by == by })
	}
	// What does not answer when asked directly proves nothing by being silent.
	if trial.port == missed && !answered(main.secondPort()) {
		trial.port = untried
	}
	if trial.address == missed && main.hasAddress2() && !answered(main.other) {
		trial.address = untried
	}
	found := Family{Asked: true, Works: true, NAT64: !f.native(main), Observed: main.observed}
	found.Mapping = mapping(seen, f.local)
	found.Filtering = filtering(trial.port, trial.address)
	found.Hairpin = hairpin(back, found.Mapping, found.Filtering)
	found.PortPreservation = preservation(f.kept, f.all)
	if ctx.Err() != nil {
		found.interrupt()
	}
	return found
}

// interrupt takes back what silence was taken for.
func (f *Family) interrupt() {
	u := unknown(whyInterrupted)
	if f.Mapping.Value == Unknown {
		f.Mapping = u
	}
	if f.Filtering.Value != EndpointIndependent {
		f.Filtering = u
	}
	if f.Hairpin.Value != Yes && f.Hairpin.Value != None {
		f.Hairpin = u
	}
}

// choose returns the target that can tell most: one beyond the NAT, with two
// addresses, with two ports, near.
func (f *family) choose(targets []target) target {
	rank := func(t target) int {
		n := 0
		if f.local(t.observed) {
			n += 4
		}
		if !t.hasAddress2() {
			n += 2
		}
		if !t.secondPort().IsValid() {
			n++
		}
		return n
	}
	return slices.MinFunc(targets, func(a, b target) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.rtt, b.rtt))
	})
}

// patience is how long to wait for what may not come.
func patience(rtt time.Duration) time.Duration {
	return min(max(3*rtt, minPatience), maxPatience)
}

// hopeful returns a question that is asked with patience.
func hopeful(sock *socket.Socket, t target, q stun.Query) question {
	p := patience(t.rtt)
	return question{sock: sock, to: t.addr, query: q, tries: tries, gap: p / tries, settle: p}
}

// observe returns where all servers, at all their ports and addresses, see one
// socket.
func (f *family) observe(ctx context.Context, sock *socket.Socket, targets []target) []observation {
	var (
		seen   []observation
		mu     sync.Mutex
		asking sync.WaitGroup
	)
	asked := make(map[netip.AddrPort]bool)
	for _, t := range targets {
		asked[t.addr] = true
		seen = append(seen, observation{t.addr, t.observed})
	}
	for _, t := range targets {
		more := []netip.AddrPort{t.secondPort()}
		if t.hasAddress2() {
			more = append(more, netip.AddrPortFrom(t.other.Addr(), t.addr.Port()), t.other)
		}
		for _, to := range more {
			if !to.IsValid() || asked[to] {
				continue
			}
			asked[to] = true
			asking.Go(func() {
				q := hopeful(sock, t, stun.Query{})
				q.to = to
				if a, _, ok := f.desk.ask(ctx, q); ok && a.Refused == 0 {
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, observation{to, a.Mapped})
				}
			})
		}
	}
	asking.Wait()
	return seen
}

// fresh opens a socket and returns it with where a target sees it, to whom
// alone it has sent.
func (f *family) fresh(ctx context.Context, t target) (*socket.Socket, netip.AddrPort, bool) {
	sock, err := f.open()
	if err != nil {
		return nil, netip.AddrPort{}, false
	}
	a, _, ok := f.desk.ask(ctx, hopeful(sock, t, stun.Query{}))
	if !ok || a.Refused != 0 {
		return nil, netip.AddrPort{}, false
	}
	if !f.local(t.observed) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.all++
		if a.Mapped.Port() == sock.LocalAddr().Port() {
			f.kept++
		}
	}
	return sock, a.Mapped, true
}

// A trial is what came to a mapping that had not asked there: from another port
// of the address that it has sent to, and from another address.
type trial struct{ port, address tried }

// tryFilter has a server, or another one, send to a fresh mapping.
func (f *family) tryFilter(ctx context.Context, main target, targets []target) (t trial) {
	sock, mapped, ok := f.fresh(ctx, main)
	if !ok {
		return t
	}
	var trying sync.WaitGroup
	if main.secondPort().IsValid() {
		trying.Go(func() {
			t.port = f.tryChange(ctx, sock, main, stun.Query{ChangePort: true}, func(from netip.AddrPort) bool {
				return from.Addr() == main.addr.Addr() && from.Port() != main.addr.Port()
			})
		})
	}
	trying.Go(func() {
		if main.hasAddress2() {
			q := stun.Query{ChangeIP: true, ChangePort: main.other.Port() != main.addr.Port()}
			t.address = f.tryChange(ctx, sock, main, q, func(from netip.AddrPort) bool { return from.Addr() != main.addr.Addr() })
			return
		}
		for _, far := range targets {
			if far.addr.Addr() != main.addr.Addr() && f.local(far.observed) == f.local(main.observed) {
				t.address = f.tryFar(ctx, sock, mapped, far)
				return
			}
		}
	})
	trying.Wait()
	return t
}

// tryChange asks a server to answer from elsewhere.
func (f *family) tryChange(ctx context.Context, sock *socket.Socket, t target, q stun.Query, elsewhere func(netip.AddrPort) bool) tried {
	ask := hopeful(sock, t, q)
	ask.good = func(a arrival) bool { return a.Refused != 0 || elsewhere(a.from) }
	a, _, ok := f.desk.ask(ctx, ask)
	switch {
	case !ok:
		return missed
	case a.Refused != 0:
		return untried
	}
	return came
}

// tryFar has a server that sock has never sent to send to sock's mapping. It may only send to the
// host that asks, so another socket behind the same external address does;
// that the server would have done it shows by sending to that one's own mapping.
func (f *family) tryFar(ctx context.Context, sock *socket.Socket, mapped netip.AddrPort, far target) tried {
	helper, own, ok := f.fresh(ctx, far)
	if !ok || own.Addr() != mapped.Addr() {
		return untried
	}
	a, _, ok := f.desk.ask(ctx, hopeful(helper, far, stun.Query{ResponsePort: own.Port()}))
	if !ok || a.Refused != 0 {
		return untried
	}
	q := hopeful(helper, far, stun.Query{ResponsePort: mapped.Port()})
	q.at = sock
	if _, _, ok := f.desk.ask(ctx, q); ok {
		return came
	}
	return missed
}

// tryHairpin has two fresh sockets send to each other's mapping. They send to nothing
// else but where a server sees them, and 3 packets of 20 bytes each.
func (f *family) tryHairpin(ctx context.Context, main target) tried {
	if f.local(main.observed) {
		return untried
	}
	var socks [2]*socket.Socket
	var mapped [2]netip.AddrPort
	for i := range socks {
		sock, seen, ok := f.fresh(ctx, main)
		if !ok {
			return untried
		}
		if seen, ok = main.here(seen); !ok {
			return untried
		}
		socks[i], mapped[i] = sock, seen
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	back := make([]bool, 2)
	var trying sync.WaitGroup
	for i := range socks {
		trying.Go(func() {
			q := hopeful(socks[i], main, stun.Query{})
			q.to, q.at = mapped[1-i], socks[1-i]
			if _, _, back[i] = f.desk.ask(ctx, q); back[i] {
				cancel() // one is enough
			}
		})
	}
	trying.Wait()
	if back[0] || back[1] {
		return came
	}
	return missed
}
