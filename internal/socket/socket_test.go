package socket

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	peer1    = netip.MustParseAddrPort("192.0.2.1:1000")
	peer2    = netip.MustParseAddrPort("[2001:db8::2]:2000")
	loopback = netip.MustParseAddrPort("127.0.0.1:0")
)

// pk makes a packet of n bytes that begins with first, and is STUN's if that
// is below 4.
func pk(first byte, n int) []byte {
	b := bytes.Repeat([]byte{first}, n)
	if first < 4 && n >= 8 {
		copy(b[4:], "\x21\x12\xa4\x42")
	}
	return b
}

// A journal writes down what it is handed, in order.
type journal struct {
	mu      sync.Mutex
	entries []string
	more    chan struct{} // has room for one: something was added

	onControl func(s *Socket, from netip.AddrPort) // set before the socket is opened
}

func newJournal() *journal { return &journal{more: make(chan struct{}, 1)} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
	j.mu.Unlock()
	select {
	case j.more <- struct{}{}:
	default:
	}
}

func (j *journal) HandleControl(s *Socket, b []byte, from netip.AddrPort) {
	if j.onControl != nil {
		j.onControl(s, from)
	}
	j.add("control %#x %d %v", b[0], len(b), from)
}

func (j *journal) HandleSTUN(_ *Socket, b []byte, from netip.AddrPort) {
	j.add("stun %d %v", len(b), from)
}

// sink returns a Sink that writes to the journal.
func (j *journal) sink(name string) Sink { return &journalSink{j, name} }

type journalSink struct {
	j    *journal
	name string
}

func (s *journalSink) Deliver(b []byte, segmentSize int, ecn uint8) {
	s.j.add("%s %#x %d/%d ecn %d", s.name, b[0], len(b), segmentSize, ecn)
}

// expect waits until the journal has the entries.
func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	timeout := time.After(10 * time.Second) // of a failing test
	for {
		j.mu.Lock()
		got := slices.Clone(j.entries)
		j.mu.Unlock()
		if len(got) >= len(want) {
			if !slices.Equal(got, want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			return
		}
		select {
		case <-j.more:
		case <-timeout:
			t.Fatalf("got only:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func open(t testing.TB, cfg Config) *Socket {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOpenRefuses(t *testing.T) {
	if s, err := Open(Config{Local: loopback}); err == nil {
		s.Close()
		t.Error("opened without a handler")
	}
	if s, err := Open(Config{Handler: newJournal()}); err == nil {
		s.Close()
		t.Error("opened without an address")
	}
}

// Everything that the socket carries, over the kernel, in order.
func TestEndToEnd(t *testing.T) {
	j := newJournal()
	j.onControl = func(s *Socket, from netip.AddrPort) { s.SetRoute(from, j.sink("quic")) }
	a := open(t, Config{Local: loopback, Handler: newJournal()})
	b := open(t, Config{Local: loopback, Handler: j})
	from, to := a.LocalAddr(), b.LocalAddr()

	sends := []error{
		a.SendRun(to, pk(0x40, 900), 0, 0), // no route yet
		a.Send(to, pk(0, 20)),
		a.SendHopLimit(to, pk(0x21, 30), 5), // opens the route
		a.SendRun(to, pk(0xc3, 800), 0, 1),
		a.Send(to, pk(0x10, 40)),
		a.Send(to, pk(0x3f, 1)),
	}
	if err := errors.Join(sends...); err != nil {
		t.Fatal(err)
	}
	j.expect(t,
		fmt.Sprintf("stun 20 %v", from),
		fmt.Sprintf("control 0x21 30 %v", from),
		fmt.Sprintf("quic 0xc3 800/0 ecn %d", ecnIf(b, 1)),
		fmt.Sprintf("control 0x3f 1 %v", from))

	want := Traffic{Control: Count{2, 31}, STUN: Count{1, 20}, QUIC: Count{2, 1700}}
	if got := a.Stats(); got.Sent != want || got.SendErrors != 0 || got.Received != (Traffic{}) {
		t.Errorf("sender: %+v", got)
	}
	if got := b.Stats(); got.Received != want || got.DroppedUnrouted != 1 || got.DroppedMalformed != 1 {
		t.Errorf("receiver: %+v", got)
	}
}

func ecnIf(s *Socket, ecn uint8) uint8 {
	if s.Features().ECN {
		return ecn
	}
	return 0
}

// A run over the kernel whose packets are of several classes.
func TestMixedRunEndToEnd(t *testing.T) {
	j := newJournal()
	a := open(t, Config{Local: loopback, Handler: newJournal()})
	b := open(t, Config{Local: loopback, Handler: j})
	if !a.Features().GSO || !b.Features().GRO {
		t.Skip("no GSO or GRO")
	}
	b.SetRoute(a.LocalAddr(), j.sink("quic"))
	run := bytes.Join([][]byte{pk(0x40, 100), pk(0xc0, 100), pk(0x20, 100), pk(0x41, 100), pk(0x42, 60)}, nil)
	if err := a.SendRun(b.LocalAddr(), run, 100, 0); err != nil {
		t.Fatal(err)
	}
	j.expect(t,
		"quic 0x40 200/100 ecn 0",
		fmt.Sprintf("control 0x20 100 %v", a.LocalAddr()),
		"quic 0x41 160/100 ecn 0")
}

// After Close has returned nothing is delivered, and writes say why they fail.
func TestClose(t *testing.T) {
	j := newJournal()
	s := open(t, Config{Local: loopback, Handler: j})
	select {
	case <-s.Done():
		t.Error("done before Close")
	default:
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	<-s.Done()
	if err := s.Send(s.LocalAddr(), pk(0x20, 5)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	if err := s.SendRun(s.LocalAddr(), pk(0x40, 50), 20, 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("SendRun: %v", err)
	}
	if got := s.Stats(); got.SendErrors == 0 || got.Sent != (Traffic{}) {
		t.Errorf("%+v", got)
	}
}

// A read offers the batch that was asked for, with room for runs if there can
// be any.
func TestReadBuffers(t *testing.T) {
	for _, c := range []struct {
		gro                     bool
		batch, entries, perEach int
	}{
		{false, 0, 16, 2 << 10},
		{true, 0, 16, 64 << 10},
		{true, 1, 1, 64 << 10},
		{false, 3, 3, 2 << 10},
	} {
		f := newFakeConn(underlay.Features{GRO: c.gro})
		s := open(t, Config{Network: f, Local: peer1, Handler: newJournal(), Batch: c.batch})
		for range 2 { // what an entry was resliced to is undone
			if got := <-f.offered; len(got) != c.entries || slices.ContainsFunc(got, func(n int) bool { return n != c.perEach }) {
				t.Errorf("GRO %v, batch %d: offered %v", c.gro, c.batch, got)
			}
			f.in <- []underlay.Datagram{{Data: pk(0x40, 5), Addr: peer2}}
		}
		s.Close()
	}
}

// A socket that the network takes away delivers what it still had, logs, and
// reports itself done.
func TestFailure(t *testing.T) {
	var log bytes.Buffer
	j := newJournal()
	f := newFakeConn(underlay.Features{})
	s := open(t, Config{Network: f, Local: peer1, Handler: j, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	f.in <- []underlay.Datagram{{Data: pk(0x20, 5), Addr: peer2}}
	f.broken <- errors.New("interface is gone")
	<-s.Done()
	j.expect(t, fmt.Sprintf("control 0x20 5 %v", peer2))
	if !strings.Contains(log.String(), "interface is gone") || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("log: %q", log.String())
	}
}

// Everything at once, for the race detector; and what is sent while routes
// come and go is delivered to one of them or counted.
func TestConcurrency(t *testing.T) {
	const senders, rounds = 3, 200
	var sinks [2]countingSink
	b := open(t, Config{Local: loopback, Handler: newJournal()})
	a := open(t, Config{Local: loopback, Handler: newJournal()})
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			run := pk(0x40, 1000)
			for range rounds {
				if err := errors.Join(a.SendRun(b.LocalAddr(), run, 300, 2), a.Send(b.LocalAddr(), pk(0x20, 9))); err != nil {
					t.Error(err)
				}
				b.Stats()
			}
		})
	}
	for i := range sinks {
		wg.Go(func() {
			for range rounds {
				b.SetRoute(a.LocalAddr(), &sinks[i])
				b.DeleteRoute(a.LocalAddr(), &sinks[i])
			}
		})
	}
	wg.Wait()
	if got := a.Stats().Sent; got.QUIC.Packets != senders*rounds*4 || got.Control.Packets != senders*rounds {
		t.Errorf("sent %+v", got)
	}
	b.Close()
	st := b.Stats()
	if got := sinks[0].bytes() + sinks[1].bytes(); st.Received.QUIC.Bytes < got {
		t.Errorf("delivered %d bytes of %d", got, st.Received.QUIC.Bytes)
	}
	if got := sinks[0].count() + sinks[1].count() + st.DroppedUnrouted; got != st.Received.QUIC.Packets {
		t.Errorf("delivered or dropped %d QUIC packets of %d", got, st.Received.QUIC.Packets)
	}
}

// Close while others write and route.
func TestCloseUnderWay(t *testing.T) {
	s := open(t, Config{Local: loopback, Handler: newJournal()})
	var sink countingSink
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				s.SetRoute(s.LocalAddr(), &sink)
				if err := s.SendRun(s.LocalAddr(), pk(0x40, 5000), 1000, 0); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					return
				}
				s.DeleteRoute(s.LocalAddr(), &sink)
			}
		})
	}
	s.Close()
	wg.Wait()
	before := sink.count()
	if s.Stats().Received.QUIC.Packets < before {
		t.Error("delivered more than was received")
	}
}

// A countingSink counts packets and bytes.
type countingSink struct {
	mu      sync.Mutex
	n, size uint64
}

func (c *countingSink) Deliver(b []byte, segmentSize int, _ uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size += uint64(len(b))
	c.n++
	if segmentSize > 0 {
		c.n += uint64((len(b) - 1) / segmentSize)
	}
}

func (c *countingSink) count() uint64 { c.mu.Lock(); defer c.mu.Unlock(); return c.n }
func (c *countingSink) bytes() uint64 { c.mu.Lock(); defer c.mu.Unlock(); return c.size }
