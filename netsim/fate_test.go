package netsim

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// TestTrace follows one question and its answer through a NAT.
func TestTrace(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		var got []string
		n.Trace(func(e Event) { got = append(got, e.String()+" on "+e.Link.String()) })
		x := newBehind(n, PortRestricted)
		a, s := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.s1, s1Addr+":1")
		a.write(underlay.Datagram{Addr: s.conn.LocalAddr(), Data: []byte("hi"), HopLimit: 9})
		d := s.want("hi")
		s.send(d.Addr, "you")
		s.send(addr(natAddr+":1"), "who?")
		s.send(addr("192.0.2.1:1"), "nowhere")
		a.want("you")
		want := strings.Split(strings.TrimSpace(`
0s a sent: udp 198.18.1.2:5000 > 203.0.113.1:1 ttl 9, 30 bytes on a-nat
5ms nat translated: udp 198.51.100.7:5000 > 203.0.113.1:1 ttl 8, 30 bytes (was 198.18.1.2:5000 > 203.0.113.1:1) on a-nat
5ms nat sent: udp 198.51.100.7:5000 > 203.0.113.1:1 ttl 8, 30 bytes on nat-core
10ms core sent: udp 198.51.100.7:5000 > 203.0.113.1:1 ttl 7, 30 bytes on s1-core
15ms s1 delivered: udp 198.51.100.7:5000 > 203.0.113.1:1 ttl 7, 30 bytes on s1-core
1s s1 sent: udp 203.0.113.1:1 > 198.51.100.7:5000 ttl 64, 31 bytes on s1-core
1s s1 sent: udp 203.0.113.1:1 > 198.51.100.7:1 ttl 64, 32 bytes on s1-core
1s s1 sent: udp 203.0.113.1:1 > 192.0.2.1:1 ttl 64, 35 bytes on s1-core
1.005s core no route: udp 203.0.113.1:1 > 192.0.2.1:1 ttl 64, 35 bytes on s1-core
1.005s core sent: udp 203.0.113.1:1 > 198.51.100.7:5000 ttl 63, 31 bytes on nat-core
1.005s core sent: udp 203.0.113.1:1 > 198.51.100.7:1 ttl 63, 32 bytes on nat-core
1.01s nat translated: udp 203.0.113.1:1 > 198.18.1.2:5000 ttl 62, 31 bytes (was 203.0.113.1:1 > 198.51.100.7:5000) on nat-core
1.01s nat sent: udp 203.0.113.1:1 > 198.18.1.2:5000 ttl 62, 31 bytes on a-nat
1.01s nat filter: udp 203.0.113.1:1 > 198.51.100.7:1 ttl 63, 32 bytes on nat-core
1.015s a delivered: udp 203.0.113.1:1 > 198.18.1.2:5000 ttl 62, 31 bytes on a-nat`), "\n")
		// Order among flows at one instant is fixed, but it is not the test's.
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		n.Trace(nil)
		got = nil
		a.send(s.conn.LocalAddr(), "unseen")
		s.want("unseen")
		if got != nil {
			t.Errorf("traced after the end: %v", got)
		}
	})
}

// TestTraceBackpressure: a sender does not run ahead of a slow trace function
// for ever, and no event is lost.
func TestTraceBackpressure(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{})
		p.link.SetDown(true) // nothing but events
		gate := make(chan struct{})
		var seen atomic.Int64
		n.Trace(func(Event) {
			<-gate
			seen.Add(1)
		})
		const total = 2*maxPending + 100
		var sent atomic.Int64
		go func() {
			d := []underlay.Datagram{{Addr: p.z.conn.LocalAddr(), Data: []byte("x")}}
			for range total {
				if _, err := p.a.conn.WriteBatch(d); err != nil {
					return
				}
				sent.Add(1)
			}
		}()
		synctest.Wait()
		if got := sent.Load(); got < maxPending || got > total-50 {
			t.Fatalf("sent %d packets ahead of the trace function", got)
		}
		close(gate)
		time.Sleep(time.Second)
		synctest.Wait()
		if sent.Load() != total || seen.Load() != total {
			t.Fatalf("sent %d, traced %d of %d", sent.Load(), seen.Load(), total)
		}
	})
}

// TestCloseFreesSenders: Close wakes a sender that waits for a trace function.
func TestCloseFreesSenders(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		p := newPair(t, n, LinkConfig{})
		gate, refused := make(chan struct{}), make(chan error)
		n.Trace(func(Event) { <-gate })
		go func() {
			for {
				if _, err := p.a.conn.WriteBatch([]underlay.Datagram{{Addr: p.z.conn.LocalAddr()}}); err != nil {
					refused <- err
					return
				}
			}
		}()
		synctest.Wait()
		go n.Close()
		if err := <-refused; !errors.Is(err, net.ErrClosed) {
			t.Errorf("write: %v", err)
		}
		close(gate)
	})
}

func TestFateNames(t *testing.T) {
	seen := map[string]bool{}
	for f := range numFates {
		if s := f.String(); s == "" || seen[s] {
			t.Errorf("fate %d is called %q", f, s)
		} else {
			seen[s] = true
		}
	}
	if got := fmt.Sprint(numFates); got != fmt.Sprintf("fate %d", uint8(numFates)) {
		t.Errorf("unknown fate is called %q", got)
	}
}
