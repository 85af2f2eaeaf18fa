//go:build unix

package bdt_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// The benchmarks' far end is a process of its own, this test binary once more:
// one stack and two bare quic-go servers, which all serve the same protocol on
// every stream (see serveBench). It answers questions about what it has used.

const (
	farEnv        = "BDT_BENCH_FAR"         // set in the far end's process
	farProfileEnv = "BDT_BENCH_FAR_PROFILE" // where the far end's CPU profile is to be written
)

const (
	benchService = "bench"
	requestBytes = 100
	answerBytes  = 1000
)

// The first byte of a stream says what it is for.
const (
	streamBulk    = 'b' // any number of turns: length (8), that many bytes; answered by one byte
	streamRequest = 'r' // requestBytes and no more, answered by answerBytes
	streamHold    = 'h' // answered by one byte and kept open
	streamFree    = 'f' // answered by one byte when the streams that were kept are closed
)

// A usage is what a process has used, or uses, at one moment.
type usage struct {
	CPU        time.Duration // user and system, since its start
	Heap       int           // bytes in use after a collection
	Stack      int           // bytes
	Goroutines int
}

func (u usage) minus(v usage) usage {
	return usage{u.CPU - v.CPU, u.Heap - v.Heap, u.Stack - v.Stack, u.Goroutines - v.Goroutines}
}

// processorTime is the CPU part of a usage.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fullUsage collects garbage first.
func fullUsage() usage {
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{processorTime(), int(m.HeapAlloc), int(m.StackInuse), runtime.NumGoroutine()}
}

// Where a far end is reached.
type farAddrs struct {
	Ticket string
	Bare   map[string]string // by the name of the configuration in bareConfigs
}

// A far is the far end as the near end sees it.
type far struct {
	addrs   farAddrs
	in      io.Writer
	answers *json.Decoder
}

// startFar starts a far end, which ends with the benchmark.
func startFar(b *testing.B) *far {
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchmarkFarEnd$")
	if file := os.Getenv(farProfileEnv); file != "" {
		cmd.Args = append(cmd.Args, "-test.cpuprofile="+file)
	}
	cmd.Env = append(os.Environ(), farEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			b.Error("far end:", err)
		}
	})
	f := &far{in: in, answers: json.NewDecoder(out)}
	must(b, f.answers.Decode(&f.addrs))
	return f
}

// ask asks the far end for its usage: "cpu" or "full".
func (f *far) ask(b *testing.B, what string) (u usage) {
	_, err := io.WriteString(f.in, what+"\n")
	must(b, err)
	must(b, f.answers.Decode(&u))
	return u
}

// cpu is the processor time of both ends.
func (f *far) cpu(b *testing.B) time.Duration { return f.ask(b, "cpu").CPU + processorTime() }

// TestBenchmarkFarEnd is the far end's process, and only that.
func TestBenchmarkFarEnd(t *testing.T) {
	if os.Getenv(farEnv) == "" {
		t.Skip("a part of the benchmarks")
	}
	var held sync.Map // streams of kind streamHold
	stack, ticket := benchStack(t)
	defer stack.Close()
	l, err := stack.Listen(benchService, bdt.Everyone)
	must(t, err)
	go func() {
		for {
			c, err := l.AcceptConn(context.Background())
			if err != nil {
				return
			}
			go serveBench(c, &held)
		}
	}()
	addrs := farAddrs{Ticket: ticket.String(), Bare: map[string]string{}}
	for name, conf := range bareConfigs() {
		addrs.Bare[name] = serveBare(t, conf, &held)
	}
	answers := json.NewEncoder(os.Stdout)
	must(t, answers.Encode(addrs))
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		u := usage{CPU: processorTime()}
		if in.Text() == "full" {
			u = fullUsage()
		}
		must(t, answers.Encode(u))
	}
}

// benchStack opens a stack on loopback, and returns a ticket to it.
func benchStack(t testing.TB) (*bdt.Stack, identity.Ticket) {
	s, err := bdt.Open(bdt.Config{Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	must(t, err)
	return s, identity.Ticket{ID: s.ID(), Endpoints: s.LocalAddrs()}
}

// A benchStream is a stream of either implementation.
type benchStream interface {
	io.ReadWriteCloser
	CloseWrite() error
}

func serveBench(s benchStream, held *sync.Map) {
	var kind [1]byte
	if _, err := io.ReadFull(s, kind[:]); err != nil {
		return
	}
	switch kind[0] {
	case streamBulk:
		buf := make([]byte, 64<<10)
		for {
			var length [8]byte
			if _, err := io.ReadFull(s, length[:]); err != nil {
				break
			}
			turn := io.LimitReader(s, int64(binary.BigEndian.Uint64(length[:])))
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, turn, buf); err != nil {
				break
			}
			s.Write([]byte{0})
		}
	case streamRequest:
		var b [answerBytes]byte
		if n, err := io.ReadFull(s, b[:]); n == requestBytes && err == io.ErrUnexpectedEOF {
			s.Write(b[:])
		}
	case streamHold:
		s.Write(kind[:])
		held.Store(s, nil)
		return
	case streamFree:
		held.Range(func(k, _ any) bool {
			k.(benchStream).Close()
			held.Delete(k)
			return true
		})
		s.Write(kind[:])
	}
	s.Close()
}

// bareConfigs are the configurations of bare quic-go that the stack is held
// against: the default, which discovers the size of packets, and packets as
// small as ours. The windows are ours, so that they make no difference.
func bareConfigs() map[string]*quic.Config {
	windows := quic.Config{
		MaxIncomingStreams:             1 << 16,
		InitialStreamReceiveWindow:     1 << 20,
		MaxStreamReceiveWindow:         16 << 20,
		InitialConnectionReceiveWindow: 32 << 20,
		MaxConnectionReceiveWindow:     32 << 20,
	}
	byDefault, small := windows.Clone(), windows.Clone()
	small.InitialPacketSize, small.DisablePathMTUDiscovery = 1200, true
	return map[string]*quic.Config{"quicgo": byDefault, "quicgo1200": small}
}

// bareTransport opens a quic-go transport on loopback.
func bareTransport(t testing.TB) *quic.Transport {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return &quic.Transport{Conn: conn, ConnectionIDLength: 8}
}

// bareTLS is TLS with an Ed25519 certificate at both ends and no check of
// names, as the stack's engine has it.
func bareTLS(t testing.TB) *tls.Config {
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	must(t, err)
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true,
		CurvePreferences:       []tls.CurveID{tls.X25519},
		SessionTicketsDisabled: true,
		NextProtos:             []string{"bench"},
	}
}

// serveBare serves on a bare quic-go listener until the process ends, and
// returns its address.
func serveBare(t testing.TB, conf *quic.Config, held *sync.Map) string {
	l, err := bareTransport(t).Listen(bareTLS(t), conf)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := conn.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go serveBench(bareStream{s}, held)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A bareStream is a stream of quic-go that closes as ours do.
type bareStream struct{ *quic.Stream }

func (s bareStream) CloseWrite() error { return s.Stream.Close() }

func (s bareStream) Close() error {
	s.CancelRead(0)
	return s.Stream.Close()
}

// A way is one of the ways to open streams to the far end.
type way struct {
	name string
	open func(ctx context.Context) (benchStream, error)
}

// stackWay goes through whole stacks.
func (f *far) stackWay(b *testing.B) way {
	s, open := f.stack(b)
	b.Cleanup(func() { s.Close() })
	return way{"stack", open}
}

// stack opens a stack that knows the far end, but has not dialled it.
func (f *far) stack(b *testing.B) (*bdt.Stack, func(ctx context.Context) (benchStream, error)) {
	s, _ := benchStack(b)
	ticket, err := identity.ParseTicket(f.addrs.Ticket)
	must(b, err)
	must(b, s.Learn(ticket))
	return s, func(ctx context.Context) (benchStream, error) {
		c, err := s.Dial(ctx, ticket.ID, benchService)
		if err != nil {
			return nil, err // not a nil *bdt.Conn in an interface
		}
		return c, nil
	}
}

// bareWay goes through a connection of bare quic-go.
func (f *far) bareWay(b *testing.B, name string) way {
	tr := bareTransport(b)
	conn, err := f.dialBare(b.Context(), tr, bareTLS(b), name)
	must(b, err)
	b.Cleanup(func() { tr.Close() })
	return way{name, func(ctx context.Context) (benchStream, error) {
		s, err := conn.OpenStreamSync(ctx)
		return bareStream{s}, err
	}}
}

// fresh makes n ways with an identity each, which dial with their first
// request: of stacks, or of bare quic-go.
func (f *far) fresh(b *testing.B, stacks bool, n int) (ways []way, closeAll func()) {
	var closers []io.Closer
	for range n {
		if stacks {
			s, open := f.stack(b)
			ways, closers = append(ways, way{"stack", open}), append(closers, s)
			continue
		}
		tr, conf := bareTransport(b), bareTLS(b)
		closers = append(closers, tr)
		ways = append(ways, way{"quicgo", func(ctx context.Context) (benchStream, error) {
			conn, err := f.dialBare(ctx, tr, conf, "quicgo")
			if err != nil {
				return nil, err
			}
			s, err := conn.OpenStreamSync(ctx)
			return bareStream{s}, err
		}})
	}
	return ways, func() {
		for _, c := range closers {
			c.Close()
		}
	}
}

func (f *far) dialBare(ctx context.Context, tr *quic.Transport, conf *tls.Config, name string) (*quic.Conn, error) {
	addr, err := netip.ParseAddrPort(f.addrs.Bare[name])
	if err != nil {
		return nil, err
	}
	return tr.Dial(ctx, net.UDPAddrFromAddrPort(addr), conf, bareConfigs()[name])
}

// ways are the stack and what it is held against.
func (f *far) ways(b *testing.B, bare ...string) []way {
	list := []way{f.stackWay(b)}
	for _, name := range bare {
		list = append(list, f.bareWay(b, name))
	}
	return list
}

// request opens a stream, asks, and reads the answer to its end.
func (w way) request(ctx context.Context) error {
	s, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	var b [1 + requestBytes]byte
	b[0] = streamRequest
	if _, err := s.Write(b[:]); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, s)
	if err == nil && n != answerBytes {
		err = errors.New("the answer is too short")
	}
	return err
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}
