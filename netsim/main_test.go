package netsim

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/underlay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulate runs f on a network in virtual time.
func simulate(t *testing.T, f func(t *testing.T, n *Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Seed: 1})
		defer n.Close()
		f(t, n)
	})
}

// A peer is an open socket and all that has arrived at it.
type peer struct {
	t    *testing.T
	conn underlay.UDPConn
	got  chan underlay.Datagram
}

// listen opens a socket and reads it.
func listen(t *testing.T, h *Host, laddr string) *peer {
	t.Helper()
	c, err := h.ListenUDP(netip.MustParseAddrPort(laddr))
	if err != nil {
		t.Fatal(err)
	}
	return reading(t, c)
}

// reading reads a socket until it is closed with the network.
func reading(t *testing.T, c underlay.UDPConn) *peer {
	p := &peer{t, c, make(chan underlay.Datagram, 1024)}
	go func() {
		defer close(p.got)
		for {
			ds := []underlay.Datagram{{Data: make([]byte, 65535)}}
			if _, err := c.ReadBatch(ds); err != nil {
				return
			}
			p.got <- ds[0]
		}
	}()
	return p
}

// send sends data to an address and port.
func (p *peer) send(to netip.AddrPort, data string) {
	p.t.Helper()
	p.write(underlay.Datagram{Addr: to, Data: []byte(data)})
}

func (p *peer) write(d underlay.Datagram) {
	p.t.Helper()
	if _, err := p.conn.WriteBatch([]underlay.Datagram{d}); err != nil {
		p.t.Fatal(err)
	}
}

// want waits until all links are empty and expects one datagram.
func (p *peer) want(data string) underlay.Datagram {
	p.t.Helper()
	settle()
	select {
	case d := <-p.got:
		if string(d.Data) != data {
			p.t.Fatalf("got %q, want %q", d.Data, data)
		}
		return d
	default:
		p.t.Fatalf("got nothing, want %q", data)
		panic("unreachable")
	}
}

// wantNone waits until all links are empty and expects nothing.
func (p *peer) wantNone() {
	p.t.Helper()
	settle()
	select {
	case d := <-p.got:
		p.t.Fatalf("got %q from %v, want nothing", d.Data, d.Addr)
	default:
	}
}

// drain returns all that has arrived until now.
func (p *peer) drain() (ds []underlay.Datagram) {
	synctest.Wait()
	for len(p.got) > 0 {
		ds = append(ds, <-p.got)
	}
	return ds
}

// settle lets a virtual second pass, longer than any path in these tests takes.
func settle() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
