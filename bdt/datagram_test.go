package bdt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// flow opens a flow of datagrams to a service that l serves, and accepts it.
func flow(t testing.TB, s *bdt.Stack, l *bdt.DatagramListener) (dialled, accepted *bdt.DatagramConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	addr := l.Addr().(bdt.Addr)
	dialled, err := s.DialDatagrams(ctx, addr.ID, addr.Service)
	if err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return dialled, accepted
}

// listenDatagrams serves flows to everyone.
func listenDatagrams(t testing.TB, s *bdt.Stack, service string) *bdt.DatagramListener {
	t.Helper()
	l, err := s.ListenDatagrams(service, bdt.Everyone)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// receive returns the next datagram, or what there is in its place within a second.
func receive(c *bdt.DatagramConn) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	b, err := c.Receive(ctx)
	return string(b), err
}

func wantDatagram(t testing.TB, c *bdt.DatagramConn, want string) {
	t.Helper()
	if got, err := receive(c); got != want || err != nil {
		t.Errorf("received %q, %v, want %q", got, err, want)
	}
}

// inFlows runs f with a listener of bob's.
func inFlows(t *testing.T, f func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener)) {
	t.Helper()
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		f(t, alice, bob, listenDatagrams(t, bob, "game"))
	})
}

// Flows in both directions of dialling, several at a time, each to its own end; the
// first datagrams may be ahead of the stream that they belong to.
func TestDatagrams(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		back := listenDatagrams(t, alice, "game")
		for i := range 40 {
			from, to, at := alice, bob, l
			if i%2 == 1 {
				from, to, at = bob, alice, back
			}
			c, err := from.DialDatagrams(context.Background(), to.ID(), "game")
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{"", "one", "two"} {
				if err := c.Send([]byte(fmt.Sprint(i, s))); err != nil {
					t.Fatal(err)
				}
			}
			a, err := at.Accept(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []string{"", "one", "two"} {
				wantDatagram(t, a, fmt.Sprint(i, s))
			}
			a.Send(nil)
			wantDatagram(t, c, "")
			if c.Rights() != bdt.AllRights || a.Peer().ID() != from.ID() || a.Caller().Device.ID() != from.ID() ||
				a.RemoteAddr() != (bdt.Addr{ID: from.ID(), Service: "game"}) || c.LocalAddr() != a.RemoteAddr() {
				t.Errorf("ends are %v and %v", c.LocalAddr(), a.RemoteAddr())
			}
			if i%4 > 1 {
				c.Close()
			}
		}
	})
}

func TestDatagramSize(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		c, a := flow(t, alice, l)
		if c.MaxSize() < 1000 || c.MaxSize() > 1200 {
			t.Errorf("MaxSize is %d", c.MaxSize())
		}
		wantOp(t, c.Send(make([]byte, c.MaxSize()+1)), "send", bdt.ErrTooLong)
		if err := c.Send(make([]byte, c.MaxSize())); err != nil {
			t.Error(err)
		}
		if got, err := receive(a); len(got) != c.MaxSize() || err != nil {
			t.Errorf("%d bytes arrived, %v", len(got), err)
		}
	})
}

// Close ends both ends: what has arrived is still received at the other, then the
// end of the flow; at this one nothing any more.
func TestDatagramClose(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		for _, swapped := range []bool{false, true} {
			near, far := flow(t, alice, l)
			if swapped {
				near, far = far, near
			}
			near.Send([]byte("last"))
			far.Send([]byte("unread"))
			time.Sleep(100 * time.Millisecond)
			waiting := make(chan error, 1)
			go func() {
				near.Receive(context.Background()) // unread
				_, err := near.Receive(context.Background())
				waiting <- err
			}()
			synctest.Wait()
			near.Close()
			near.Close()
			wantOp(t, <-waiting, "receive", bdt.ErrClosed)
			wantOp(t, near.Send([]byte("x")), "send", bdt.ErrClosed)
			wantDatagram(t, far, "last")
			if _, err := receive(far); err != io.EOF {
				t.Errorf("after the peer's Close: %v", err)
			}
			wantOp(t, far.Send([]byte("x")), "send", nil)
			if err := far.Send(nil); errors.Is(err, bdt.ErrClosed) {
				t.Errorf("the peer's Close shows as %v", err)
			}
			far.Close()
		}
		// A context ends one Receive.
		c, _ := flow(t, alice, l)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := c.Receive(ctx)
		wantOp(t, err, "receive", context.Canceled)
	})
}

// What ends the session ends its flows, with the cause.
func TestDatagramSessionEnds(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		c, a := flow(t, alice, l)
		bob.Close()
		_, err := receive(c)
		wantOp(t, err, "receive", bdt.ErrPeerClosed)
		wantOp(t, c.Send(nil), "send", bdt.ErrPeerClosed)
		_, err = receive(a)
		wantOp(t, err, "receive", bdt.ErrClosed)
		_, err = l.Accept(context.Background())
		wantOp(t, err, "accept", bdt.ErrClosed)
		_, err = bob.ListenDatagrams("other", nil)
		wantOp(t, err, "listen", bdt.ErrClosed)
	})
}

// Who is denied learns nothing else, and what was sent meanwhile is dropped.
func TestDatagramDenied(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		if _, err := bob.ListenDatagrams("secret", bdt.Nobody); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.ListenDatagrams("secret", nil); !errors.Is(err, bdt.ErrServiceInUse) {
			t.Errorf("a second listener: %v", err)
		}
		for _, service := range []string{"secret", "absent"} {
			c, err := alice.DialDatagrams(context.Background(), bob.ID(), service)
			if err != nil {
				t.Fatal(err)
			}
			c.Send([]byte("hello"))
			_, err = receive(c)
			wantOp(t, err, "receive", bdt.ErrDenied)
			wantOp(t, c.Send(nil), "send", bdt.ErrDenied)
			c.Close()
		}
		l := listenDatagrams(t, bob, "closing")
		c, err := alice.DialDatagrams(context.Background(), bob.ID(), "closing")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.Close()
		_, err = receive(c)
		wantOp(t, err, "receive", bdt.ErrNoService)
	})
}

// A receiver that falls behind gets the latest, and the rest are counted.
func TestDatagramQueue(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		c, a := flow(t, alice, l)
		const n = bdt.MaxFlowQueue + 100
		for i := range n {
			c.Send(binary.BigEndian.AppendUint32(nil, uint32(i)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if d := a.Dropped(); d != 100 {
			t.Errorf("%d are dropped, want 100", d)
		}
		for i := n - bdt.MaxFlowQueue; i < n; i++ {
			wantDatagram(t, a, string(binary.BigEndian.AppendUint32(nil, uint32(i))))
		}
		if p, _ := bob.Peer(alice.ID()); p.DatagramsDropped != 100 {
			t.Errorf("the status counts %d", p.DatagramsDropped)
		}
	})
}

// A peer that floods: with ids of no flow, with ids that are none, with flows that
// nobody reads. What is held stays in bounds, and other flows and streams go on.
func TestDatagramFlood(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		bob.ServeEcho()
		c, a := flow(t, alice, l)
		s, err := alice.RawSession(context.Background(), bob.ID())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			b := binary.BigEndian.AppendUint64(nil, uint64(i)|3<<62)
			switch i % 4 {
			case 0:
				b = b[:i%8] // no id
			case 1:
				b = append(b, make([]byte, 1000)...) // no such flow
			case 2:
				b = []byte{1} // a stream that bob opens
			}
			s.SendDatagram(b)
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(time.Second)
		queued, early := bob.FlowBytes(alice.ID())
		if queued > bdt.MaxFlowBytes || early > bdt.MaxEarlyDatagrams {
			t.Errorf("%d bytes and %d early datagrams are held", queued, early)
		}
		if p, _ := bob.Peer(alice.ID()); p.DatagramsDropped < 1000 {
			t.Errorf("%d are counted as dropped", p.DatagramsDropped)
		}
		c.Send([]byte("still"))
		wantDatagram(t, a, "still")
		ask(t, alice, bob.ID())

		// More flows than a peer may open.
		busy := 0
		var held []*bdt.DatagramConn
		for range bdt.MaxFlows + 10 {
			c, err := alice.DialDatagrams(context.Background(), bob.ID(), "game")
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, c)
			if _, err := l.Accept(withTimeout(t, 100*time.Millisecond)); err != nil {
				busy++
			}
		}
		if busy != 11 { // the one above counts, too
			t.Errorf("%d flows were refused", busy)
		}
		_, err = receive(held[len(held)-1])
		wantOp(t, err, "receive", bdt.ErrBusy)
		held[0].Close()
		time.Sleep(time.Second)
		again, _ := flow(t, alice, l)
		for round := range 10 {
			for _, c := range held[1 : bdt.MaxFlows-1] {
				c.Send(make([]byte, c.MaxSize()))
			}
			time.Sleep(time.Duration(round) * time.Millisecond)
		}
		time.Sleep(time.Second)
		if queued, _ := bob.FlowBytes(alice.ID()); queued > bdt.MaxFlowBytes || queued < bdt.MaxFlowBytes/2 {
			t.Errorf("%d bytes are held, at most %d", queued, bdt.MaxFlowBytes)
		}
		again.Close()
	})
}

// withTimeout returns a context that ends after d.
func withTimeout(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// Loss loses datagrams and nothing else: none comes twice, changed, or out of its
// flow; and the flow goes on when the path changes under it.
func TestDatagramLossAndPathChange(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.dualStack("alice", "198.51.100.1", "2001:db8:1::1"))
		bob := w.open("bob", w.dualStack("bob", "198.51.100.2", "2001:db8:2::1"))
		defer closeAll(t, alice, bob)
		l := listenDatagrams(t, bob, "game")
		c, a := flow(t, alice, l)
		time.Sleep(5 * time.Second)
		seen := map[string]int{}
		got := make(chan struct{})
		go func() {
			defer close(got)
			for {
				b, err := a.Receive(context.Background())
				if err != nil {
					return
				}
				seen[string(b)]++
			}
		}()
		const n = 2000
		for i := range n {
			if i == n/4 {
				w.links["alice6"].SetDown(true)
			}
			if err := c.Send([]byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		c.Close()
		<-got
		for s, times := range seen {
			if times > 1 {
				t.Errorf("%q came %d times", s, times)
			}
		}
		if len(seen) == n || len(seen) < n/2 || seen[fmt.Sprint(n-1)] != 1 {
			t.Errorf("%d of %d arrived, the last %d times", len(seen), n, seen[fmt.Sprint(n-1)])
		}
		t.Logf("%d of %d arrived", len(seen), n)
	})
}

// What flows have left behind that their peer ended and nobody read to the end takes
// no room from later ones.
func TestDatagramsUnread(t *testing.T) {
	inFlows(t, func(t *testing.T, alice, bob *bdt.Stack, l *bdt.DatagramListener) {
		for range 40 { // of up to 128 KiB each
			c, a := flow(t, alice, l)
			for range 140 {
				c.Send(make([]byte, 1000))
			}
			c.Close()
			time.Sleep(time.Second)
			a.Close()
		}
		c, a := flow(t, alice, l)
		c.Send([]byte("still"))
		wantDatagram(t, a, "still")
	})
}
