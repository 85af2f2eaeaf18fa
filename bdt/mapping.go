package bdt

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/jitter"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
)

const (
	// mappingRetry is the first wait for an answer; it doubles, and after
	// mappingTries the next interval has to do.
	mappingRetry = 500 * time.Millisecond
	mappingTries = 4
	// probeRetry is the same for a socket that a dial is waiting for.
	probeRetry = 200 * time.Millisecond
)

// A mapper learns where the SNs see each socket. A device is registered at
// its SN by one address family; for the other, and for further sockets, STUN
// tells.
type mapper struct {
	stack *Stack

	mu     sync.Mutex
	asked  map[stun.TransactionID]question // bounded by sockets × tries
	mapped map[*socket.Socket]mapping
	probes map[*socket.Socket]chan netip.AddrPort // of probe: where answers go, holding one
	turn   context.CancelFunc                     // ends the turn of questions under way, or the pause after it
}

// A question is which socket asked which server.
type question struct {
	sock   *socket.Socket
	server netip.AddrPort
}

// A mapping is where a server sees a socket.
type mapping struct{ addr, server netip.AddrPort }

func (m *mapper) init(s *Stack) {
	*m = mapper{
		stack:  s,
		asked:  make(map[stun.TransactionID]question),
		mapped: make(map[*socket.Socket]mapping),
		probes: make(map[*socket.Socket]chan netip.AddrPort),
	}
}

// run asks until the stack is closed.
func (m *mapper) run() {
	for m.stack.ctx.Err() == nil {
		ctx, cancel := context.WithCancel(m.stack.ctx)
		m.mu.Lock()
		m.turn = cancel
		m.mu.Unlock()
		m.ask(ctx)
		id, pause := m.stack.ID(), m.stack.KeepAlive() // which is for the mapping's sake, too
		pause -= jitter.Of(pause/10, time.Now(), id[:])
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		cancel()
	}
}

// askAgain begins another turn of questions at once.
func (m *mapper) askAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.turn != nil {
		m.turn()
	}
}

// ask has every socket ask the SNs of its family, one after the other until
// one answers.
func (m *mapper) ask(ctx context.Context) {
	servers := m.servers(ctx)
	m.mu.Lock()
	maps.DeleteFunc(m.asked, func(_ stun.TransactionID, q question) bool { return m.probes[q.sock] == nil })
	m.mu.Unlock()
	wait := mappingRetry
	for try := range mappingTries {
		if m.request(servers, try) == 0 {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait *= 2
	}
	m.forget()
}

// forget lets go of the mappings of sockets that had no answer in this turn: where
// they were seen may be another's by now.
func (m *mapper) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.asked {
		if m.probes[q.sock] == nil {
			delete(m.mapped, q.sock)
		}
	}
}

// request sends one request for each socket that has had no answer in this
// turn, and returns how many those were.
func (m *mapper) request(servers []netip.AddrPort, try int) (sent int) {
	for _, sock := range m.stack.sockets {
		if !m.answered(sock, try) && m.send(sock, servers, try) {
			sent++
		}
	}
	return sent
}

// send sends one request from a socket to the next server of its family; false
// if there is none.
func (m *mapper) send(sock *socket.Socket, servers []netip.AddrPort, try int) bool {
	var mine []netip.AddrPort
	for _, a := range servers {
		if a.Addr().Is4() == sock.LocalAddr().Addr().Is4() {
			mine = append(mine, a)
		}
	}
	if len(mine) == 0 {
		return false
	}
	server := mine[try%len(mine)]
	id := m.expectID(question{sock, server})
	// An error is as good as a lost packet: another server is asked next.
	_ = sock.Send(server, stun.AppendRequest(nil, id))
	return true
}

// probe returns where a socket is seen that is not one of the stack's own.
func (m *mapper) probe(ctx context.Context, sock *socket.Socket) (netip.AddrPort, error) {
	return m.probeAt(ctx, sock, m.servers(ctx))
}

// probeAt is probe with the servers to ask.
func (m *mapper) probeAt(ctx context.Context, sock *socket.Socket, servers []netip.AddrPort) (netip.AddrPort, error) {
	answer, stop := m.expect(sock)
	defer stop()
	wait := probeRetry
	for try := 0; ; try++ {
		if !m.send(sock, servers, try) {
			return netip.AddrPort{}, errNoFamily
		}
		select {
		case addr := <-answer:
			return addr, nil
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
			return netip.AddrPort{}, ctx.Err()
		}
	}
}

// expect has the first answer that comes to a socket, which is not one of the stack's own,
// handed over, until stop is called.
func (m *mapper) expect(sock *socket.Socket) (answer <-chan netip.AddrPort, stop func()) {
	c := make(chan netip.AddrPort, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes[sock] = c
	return c, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.probes, sock)
		maps.DeleteFunc(m.asked, func(_ stun.TransactionID, q question) bool { return q.sock == sock })
	}
}

// expectID returns an id for a request whose answer is to come to a socket.
func (m *mapper) expectID(q question) stun.TransactionID {
	id := stun.NewTransactionID()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked[id] = q
	return id
}

// answered reports whether a request of this turn was answered: then none of
// the socket's is open.
func (m *mapper) answered(sock *socket.Socket, try int) bool {
	if try == 0 {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, q := range m.asked {
		if q.sock == sock {
			return false
		}
	}
	return true
}

// servers resolves the SNs of the configuration.
func (m *mapper) servers(ctx context.Context) []netip.AddrPort {
	var list []netip.AddrPort
	for _, ref := range m.stack.cfg.SNs {
		host, portText, _ := net.SplitHostPort(ref.Addr) // a Ref is checked when it is made
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			continue
		}
		addrs, err := m.stack.resolver().LookupNetIP(ctx, host)
		if err != nil {
			m.stack.log.Debug("super node is not resolved", "sn", ref.ID.Short(), "err", err)
			continue
		}
		for _, a := range addrs {
			list = append(list, netip.AddrPortFrom(a, uint16(port)))
		}
	}
	return list
}

// handle takes a STUN packet on a reader goroutine.
func (m *mapper) handle(sock *socket.Socket, b []byte) {
	id, addr, err := stun.ParseResponse(b)
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.asked[id]
	if q.sock != sock {
		return
	}
	maps.DeleteFunc(m.asked, func(_ stun.TransactionID, q question) bool { return q.sock == sock })
	if probe := m.probes[sock]; probe != nil {
		select {
		case probe <- addr:
		default:
		}
		return
	}
	old := m.mapped[sock]
	m.mapped[sock] = mapping{addr, q.server}
	if old.addr == addr {
		return
	}
	m.stack.workers.Go(m.stack.reregister)
	nudge(m.stack.monitor.seen)
	if old.server == q.server {
		m.stack.workers.Go(m.stack.learner.mappingMoved)
	}
}

// addresses returns where the sockets are seen.
func (m *mapper) addresses() []netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]netip.AddrPort, 0, len(m.mapped))
	for _, at := range m.mapped {
		list = append(list, at.addr)
	}
	return list
}
