package session_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"golang.org/x/sys/unix"

	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/session/sessiontest"
	"github.com/bdtnet/bdt/internal/socket"
)

// BenchmarkBulk moves data one way over loopback UDP sockets, in turns: with
// the engine on the project's socket, and with quic-go on its own, in packets
// of the engine's size and of the one it discovers. Client and server share
// the process. The machine's moods hit all alike, so that the ratios count.
func BenchmarkBulk(b *testing.B) {
	client, server := socketPair(b)
	near, err := client.OpenStream(b.Context())
	fatal(b, err)
	ways := []*bulkWay{newBulkWay(b, "engine", near, func() (io.Reader, error) {
		return server.AcceptStream(b.Context())
	})}
	for name, conf := range map[string]*quic.Config{
		"quicgo-1200": {InitialPacketSize: 1200, DisablePathMTUDiscovery: true},
		"quicgo":      {},
	} {
		conf.InitialStreamReceiveWindow = 1 << 20
		conf.MaxStreamReceiveWindow = 16 << 20
		conf.InitialConnectionReceiveWindow = 32 << 20
		conf.MaxConnectionReceiveWindow = 32 << 20
		client, server := bareQUICPair(b, conf)
		near, err := client.OpenStream()
		fatal(b, err)
		ways = append(ways, newBulkWay(b, name, near, func() (io.Reader, error) {
			return server.AcceptStream(b.Context())
		}))
	}
	for b.Loop() {
		for _, w := range ways {
			w.transfer(b)
		}
	}
	for _, w := range ways {
		gigabytes := float64(b.N) * bulkTurn / 1e9
		b.ReportMetric(gigabytes*8/w.elapsed.Seconds(), w.name+"-Gbit/s")
		b.ReportMetric(w.cpu.Seconds()/gigabytes, w.name+"-cpu-s/GB")
	}
}

// bulkTurn is how many bytes a way moves in its turn.
const bulkTurn = 16 << 20

// A bulkWay is one of the ways to move data that take turns.
type bulkWay struct {
	name         string
	w            io.Writer
	r            io.Reader
	buf          []byte
	elapsed, cpu time.Duration
}

func newBulkWay(b *testing.B, name string, w io.Writer, accept func() (io.Reader, error)) *bulkWay {
	_, err := w.Write([]byte{0})
	fatal(b, err)
	r, err := accept()
	fatal(b, err)
	_, err = io.ReadFull(r, make([]byte, 1))
	fatal(b, err)
	return &bulkWay{name: name, w: w, r: r, buf: make([]byte, 64<<10)}
}

func (w *bulkWay) transfer(b *testing.B) {
	start, cpu := time.Now(), cpuTime(b)
	read := make(chan error, 1)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(w.r, bulkTurn), w.buf)
		read <- err
	}()
	block := make([]byte, 1<<20)
	for range bulkTurn / len(block) {
		_, err := w.w.Write(block)
		fatal(b, err)
	}
	fatal(b, <-read)
	w.elapsed += time.Since(start)
	w.cpu += cpuTime(b) - cpu
}

// BenchmarkRequests sends requests of 100 bytes and answers of 1,000, each on
// a stream of its own, 64 at once.
func BenchmarkRequests(b *testing.B) {
	client, server := socketPair(b)
	go func() {
		for {
			st, err := server.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				defer st.Close()
				if _, err := io.ReadFull(st, make([]byte, 100)); err == nil {
					st.Write(make([]byte, 1000))
				}
			}()
		}
	}()
	b.SetParallelism(64 / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			st, err := client.OpenStream(context.Background())
			if err != nil {
				b.Error(err)
				return
			}
			st.Write(make([]byte, 100))
			st.CloseWrite()
			if n, err := io.Copy(io.Discard, st); n != 1000 || err != nil {
				b.Errorf("answer of %d bytes, %v", n, err)
			}
			st.Close()
		}
	})
}

// BenchmarkHandshake opens and closes a session over loopback.
func BenchmarkHandshake(b *testing.B) {
	w := newWire(b)
	for b.Loop() {
		client, _ := w.session(b)
		client.Close(0, "")
		w.detach()
	}
}

// BenchmarkIdleSessions reports what an open session costs that does nothing,
// both ends together, and what an idle stream does.
func BenchmarkIdleSessions(b *testing.B) {
	const sessions, streams = 1000, 10000
	for b.Loop() {
		w := newWire(b)
		heap, stacks, goroutines := memory()
		var client, server session.Session
		for range sessions {
			client, server = w.session(b)
		}
		heap2, stacks2, goroutines2 := memory()
		b.ReportMetric(float64(heap2-heap)/sessions, "heap-B/session")
		b.ReportMetric(float64(stacks2-stacks)/sessions, "stack-B/session")
		b.ReportMetric(float64(goroutines2-goroutines)/sessions, "goroutines/session")

		for range streams {
			near, err := client.OpenStream(b.Context())
			fatal(b, err)
			_, err = near.Write([]byte{1})
			fatal(b, err)
			far, err := server.AcceptStream(b.Context())
			fatal(b, err)
			_, err = far.Read(make([]byte, 1))
			fatal(b, err)
		}
		heap3, _, _ := memory()
		b.ReportMetric(float64(heap3-heap2)/streams, "heap-B/stream")
		w.close()
	}
}

func memory() (heap, stacks, goroutines int) {
	time.Sleep(100 * time.Millisecond) // handshakes and acknowledgements end; nothing depends on it
	runtime.GC()
	runtime.GC() // the second empties the pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), int(m.StackInuse), runtime.NumGoroutine()
}

// cpuTime returns the processor time of this process, user and system.
func cpuTime(b *testing.B) time.Duration {
	var u unix.Rusage
	fatal(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A wire is two engines with a socket each. Ports are told apart by nothing:
// all packets of one socket go to the last port, as sessions that are opened
// one after the other do with.
type wire struct {
	engines [2]session.Engine
	keys    [2]ed25519.PublicKey
	sockets [2]*socket.Socket
	ports   [2]session.Port
	opened  int
}

func newWire(t testing.TB) *wire {
	w := &wire{}
	for i, name := range []string{"client", "server"} {
		var id session.Identity
		id, w.keys[i] = sessiontest.NewIdentity(name)
		w.engines[i] = newQUIC(t, id)
		s, err := socket.Open(socket.Config{Local: netip.MustParseAddrPort("127.0.0.1:0"), Handler: noHandler{}})
		fatal(t, err)
		w.sockets[i] = s
	}
	t.Cleanup(w.close)
	return w
}

func (w *wire) close() {
	for i := range w.engines {
		w.engines[i].Close()
		w.sockets[i].Close()
	}
}

func (w *wire) detach() {
	for _, p := range w.ports {
		p.Close()
	}
}

// session opens one more session.
func (w *wire) session(t testing.TB) (client, server session.Session) {
	w.opened++
	binding := [32]byte{byte(w.opened), byte(w.opened >> 8), byte(w.opened >> 16)}
	for i := range w.ports {
		to := w.sockets[1-i].LocalAddr()
		p, err := w.engines[i].Attach(socketCarrier{w.sockets[i], to}, session.Secrets{Binding: binding, Peer: w.keys[1-i]})
		fatal(t, err)
		w.ports[i] = p
		w.sockets[i].SetRoute(to, p)
	}
	accepted := make(chan session.Session, 1)
	go func() {
		s, _ := w.ports[1].Accept(context.Background())
		accepted <- s
	}()
	client, err := w.ports[0].Dial(context.Background())
	fatal(t, err)
	if server = <-accepted; server == nil {
		t.Fatal("accept failed")
	}
	return client, server
}

func socketPair(t testing.TB) (client, server session.Session) { return newWire(t).session(t) }

type socketCarrier struct {
	s  *socket.Socket
	to netip.AddrPort
}

func (c socketCarrier) WritePackets(b []byte, segment int, ecn uint8) {
	c.s.SendRun(c.to, b, segment, ecn)
}

type noHandler struct{}

func (noHandler) HandleControl(*socket.Socket, []byte, netip.AddrPort) {}
func (noHandler) HandleSTUN(*socket.Socket, []byte, netip.AddrPort)    {}

// bareQUICPair connects quic-go with quic-go.
func bareQUICPair(t testing.TB, conf *quic.Config) (client, server *quic.Conn) {
	id, key := sessiontest.NewIdentity("bare")
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(nil, template, template, key, id.Signer)
	fatal(t, err)
	tlsConf := &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: id.Signer}},
		InsecureSkipVerify: true,
		NextProtos:         []string{"bench"},
	}
	var transports [2]*quic.Transport
	for i := range transports {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		fatal(t, err)
		transports[i] = &quic.Transport{Conn: conn}
		t.Cleanup(func() { transports[i].Close(); conn.Close() })
	}
	listener, err := transports[1].Listen(tlsConf, conf)
	fatal(t, err)
	client, err = transports[0].Dial(t.Context(), transports[1].Conn.LocalAddr(), tlsConf, conf)
	fatal(t, err)
	server, err = listener.Accept(t.Context())
	fatal(t, err)
	return client, server
}

// TestLoopback keeps the benchmarks' pair working.
func TestLoopback(t *testing.T) {
	client, server := socketPair(t)
	near, err := client.OpenStream(t.Context())
	fatal(t, err)
	const want = "over the kernel's loopback"
	_, err = io.WriteString(near, want)
	fatal(t, err)
	near.CloseWrite()
	far, err := server.AcceptStream(t.Context())
	fatal(t, err)
	if got, err := io.ReadAll(far); string(got) != want || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}
