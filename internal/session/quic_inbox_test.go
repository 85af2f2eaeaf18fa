package session

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// drain takes all runs and returns how many packets of each port there were.
func drain(t *testing.T, q *inbox) map[*quicPort]int {
	t.Helper()
	got := map[*quicPort]int{}
	for {
		r, err := q.take(false)
		if err != nil {
			t.Fatal(err)
		}
		if r == nil {
			return got
		}
		for len(r.rest) > 0 {
			r.cut()
			got[r.port]++
		}
		r.release()
	}
}

func TestInboxKeepsRuns(t *testing.T) {
	q, p := newInbox(1<<20), &quicPort{}
	b := []byte("aaabbbcc")
	q.put(p, b, 3, 2)
	clear(b) // it was copied
	q.put(p, bytes.Repeat([]byte{'x'}, maxRun), maxRun, 0)
	r, err := q.take(true)
	if err != nil || r.port != p || r.ecn != 2 {
		t.Fatalf("took %+v, %v", r, err)
	}
	for _, want := range []string{"aaa", "bbb", "cc", ""} {
		if got := r.cut(); string(got) != want {
			t.Errorf("cut %q, want %q", got, want)
		}
	}
	r.release()
	if r, _ = q.take(true); len(r.rest) != maxRun {
		t.Errorf("the longest run came as %d bytes", len(r.rest))
	}
	if q.free != 1<<20 || p.queue.bytes != 0 {
		t.Errorf("%d bytes free, %d of the port's", q.free, p.queue.bytes)
	}
}

// TestInboxIsFair has nine ports flood, and wants each to get a tenth, the
// newcomer not to be shut out, and service in turn.
func TestInboxIsFair(t *testing.T) {
	const size = 1000 * smallRun
	q := newInbox(size)
	var ports [9]*quicPort
	for i := range ports {
		ports[i] = &quicPort{}
	}
	put := func(p *quicPort) bool { return q.put(p, []byte("packet"), 6, 0) }
	for put(ports[0]) {
	}
	if got := ports[0].queue.bytes; got != size/2 {
		t.Errorf("one port alone holds %d bytes, want half", got)
	}
	newcomer := &quicPort{}
	if !put(newcomer) {
		t.Error("a newcomer was shut out")
	}
	drain(t, q)

	for range 1000 {
		for _, p := range ports {
			put(p)
		}
	}
	for i, p := range ports {
		if n := p.queue.bytes / smallRun; n != 100 {
			t.Errorf("port %d of nine holds %d of 1000 packets, want 100", i, n)
		}
	}
	for i := range 18 {
		if r, _ := q.take(false); r.port != ports[i%9] {
			t.Errorf("take %d was not in turn", i)
		}
	}
	for i, n := range drain(t, q) {
		if n != 98 {
			t.Errorf("port %p had %d packets left, want 98", i, n)
		}
	}
}

func TestInboxWakesReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, p := newInbox(1<<20), &quicPort{}
		type result struct {
			r   *run
			err error
		}
		results := make(chan result)
		go func() {
			for range 4 {
				r, err := q.take(true)
				results <- result{r, err}
			}
		}()
		synctest.Wait() // the reader waits
		q.put(p, []byte("x"), 1, 0)
		if got := <-results; got.r == nil {
			t.Errorf("take: %v", got.err)
		}
		synctest.Wait()
		q.setDeadline(time.Now().Add(time.Hour)) // has not passed
		synctest.Wait()
		q.setDeadline(time.Now())
		if got := <-results; got.err != os.ErrDeadlineExceeded {
			t.Errorf("take past the deadline: %v", got.err)
		}
		synctest.Wait() // the reader has failed again
		q.setDeadline(time.Time{})
		if got := <-results; got.err != os.ErrDeadlineExceeded {
			t.Errorf("take past the deadline: %v", got.err)
		}
		synctest.Wait() // the reader waits
		q.close()
		if got := <-results; got.err != net.ErrClosed {
			t.Errorf("take of a closed inbox: %v", got.err)
		}
		if q.put(p, []byte("x"), 1, 0) {
			t.Error("a closed inbox took a run")
		}
	})
}

func TestInboxClosedPort(t *testing.T) {
	q, p := newInbox(1<<20), &quicPort{}
	q.put(p, []byte("before"), 6, 0)
	q.closePort(p)
	if q.put(p, []byte("after"), 5, 0) {
		t.Error("a closed port's run was taken")
	}
	if n := drain(t, q)[p]; n != 1 {
		t.Errorf("%d packets, want the one from before", n)
	}
}

func TestVirtualConn(t *testing.T) {
	p := &quicPort{}
	c := &virtualConn{inbox: newInbox(1 << 20), portOf: func(a *net.UDPAddr) *quicPort {
		if a == &p.addr {
			return p
		}
		return nil
	}}
	c.inbox.put(p, make([]byte, 2*maxPacket+2), maxPacket+1, 0) // longer than any of ours
	c.inbox.put(p, []byte("good"), 4, 0)
	b := make([]byte, 2*maxPacket)
	n, from, err := c.ReadFrom(b)
	if err != nil || string(b[:n]) != "good" || from != net.Addr(&p.addr) {
		t.Errorf("read %q from %v, %v", b[:n], from, err)
	}
	if got := p.dropped.Load(); got != 2 {
		t.Errorf("%d packets dropped, want the 2 that are too long", got)
	}
	copied := p.addr
	for _, to := range []net.Addr{&copied, &net.TCPAddr{}, nil} {
		if n, err := c.WriteTo([]byte("lost"), to); n != 4 || err != nil {
			t.Errorf("write to nobody: %d, %v", n, err)
		}
	}
	if err := c.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Error(err)
	}
	if _, _, err = c.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past the deadline: %v", err)
	}
	c.Close()
	if _, _, err = c.ReadFrom(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
}
