package socket

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/underlay"
)

// A fakeConn is a network with one socket, whose packets come from and go to
// the test.
type fakeConn struct {
	features underlay.Features
	in       chan []underlay.Datagram
	offered  chan []int // the sizes of the buffers offered to a read, if anybody asks
	broken   chan error
	closed   chan struct{}
	once     sync.Once

	mu   sync.Mutex
	out  []underlay.Datagram // what was written, copied
	fail func(d *underlay.Datagram) error
}

func newFakeConn(f underlay.Features) *fakeConn {
	return &fakeConn{
		features: f,
		in:       make(chan []underlay.Datagram),
		offered:  make(chan []int),
		broken:   make(chan error),
		closed:   make(chan struct{}),
	}
}

func (f *fakeConn) ListenUDP(netip.AddrPort) (underlay.UDPConn, error) { return f, nil }
func (f *fakeConn) Interfaces() ([]underlay.Interface, error)          { return nil, nil }
func (f *fakeConn) Watch(context.Context) (<-chan struct{}, error) {
	return nil, fmt.Errorf("nothing changes")
}
func (f *fakeConn) LookupNetIP(context.Context, string) ([]netip.Addr, error) {
	return nil, fmt.Errorf("no resolver")
}

func (f *fakeConn) LocalAddr() netip.AddrPort   { return peer1 }
func (f *fakeConn) Features() underlay.Features { return f.features }

func (f *fakeConn) ReadBatch(ds []underlay.Datagram) (int, error) {
	sizes := make([]int, len(ds))
	for i := range ds {
		sizes[i] = len(ds[i].Data)
	}
	for {
		select {
		case f.offered <- sizes:
		case in := <-f.in:
			for i := range in {
				in[i].Data = ds[i].Data[:copy(ds[i].Data, in[i].Data)]
				ds[i] = in[i]
			}
			return len(in), nil
		case err := <-f.broken:
			return 0, err
		case <-f.closed:
			return 0, net.ErrClosed
		}
	}
}

func (f *fakeConn) WriteBatch(ds []underlay.Datagram) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range ds {
		if f.fail != nil {
			if err := f.fail(&ds[i]); err != nil {
				return i, err
			}
		}
		d := ds[i]
		d.Data = append([]byte(nil), d.Data...)
		f.out = append(f.out, d)
	}
	return len(ds), nil
}

func (f *fakeConn) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}
