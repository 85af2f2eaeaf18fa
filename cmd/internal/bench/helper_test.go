package bench

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A duplex is one end of a stream in memory: a pipe for each direction, so
// that one can end before the other.
type duplex struct {
	net.Conn               // what is read
	out      net.Conn      // what is written
	pace     time.Duration // of each write
	reset    *atomic.Bool  // shared by both ends
}

func newDuplex(pace time.Duration) (client, server *duplex) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	reset := new(atomic.Bool)
	return &duplex{r1, w2, pace, reset}, &duplex{r2, w1, pace, reset}
}

func (d *duplex) Write(b []byte) (int, error) {
	time.Sleep(d.pace) // a link's rate, in virtual time
	return d.out.Write(b)
}

func (d *duplex) CloseWrite() error { return d.out.Close() }

func (d *duplex) Close() error {
	d.out.Close()
	return d.Conn.Close()
}

func (d *duplex) Reset(uint32) {
	d.reset.Store(true)
	d.Close()
}

func (d *duplex) SetDeadline(t time.Time) error {
	d.Conn.SetReadDeadline(t)
	return d.out.SetWriteDeadline(t)
}

func (d *duplex) SetWriteDeadline(t time.Time) error { return d.out.SetWriteDeadline(t) }

// A fakeServer answers streams in memory.
type fakeServer struct {
	limit   *rate.Limiter
	pace    time.Duration
	streams sync.WaitGroup
	dialled atomic.Int32
}

func (f *fakeServer) dial(ctx context.Context) (*duplex, error) {
	f.dialled.Add(1)
	client, server := newDuplex(f.pace)
	f.streams.Go(func() { answer(context.Background(), server, f.limit) })
	return client, nil
}
