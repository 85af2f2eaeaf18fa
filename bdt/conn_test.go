package bdt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/bdtnet/bdt/bdt"
)

// A dialled and an accepted stream pass the tests that every net.Conn should.
func TestNetConn(t *testing.T) {
	for _, swapped := range []bool{false, true} {
		t.Run(map[bool]string{false: "dialled first", true: "accepted first"}[swapped], func(t *testing.T) {
			alice, bob := loopbackPair(t)
			l := listen(t, bob, "s")
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := connect(t, alice, l)
				stop = func() { a.Close(); b.Close() }
				if swapped {
					return b, a, stop, nil
				}
				return a, b, stop, nil
			})
		})
	}
}

func TestConnEnds(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		l := listen(t, bob, "s")
		a, b := connect(t, alice, l)
		for _, e := range []struct {
			c            *bdt.Conn
			local, other *bdt.Stack
		}{{a, alice, bob}, {b, bob, alice}} {
			if got, want := e.c.LocalAddr(), (bdt.Addr{ID: e.local.ID(), Service: "s"}); got != want {
				t.Errorf("local address %v, want %v", got, want)
			}
			if got, want := e.c.RemoteAddr(), (bdt.Addr{ID: e.other.ID(), Service: "s"}); got != want {
				t.Errorf("remote address %v, want %v", got, want)
			}
			if e.c.Peer().ID() != e.other.ID() || e.c.Peer().Name() != e.other.Device().Name() {
				t.Errorf("peer is %v", e.c.Peer())
			}
		}

		// Half closed: the other direction goes on.
		io.WriteString(a, "question")
		a.CloseWrite()
		if got, err := io.ReadAll(b); err != nil || string(got) != "question" {
			t.Errorf("read %q, %v", got, err)
		}
		if _, err := io.WriteString(b, "answer"); err != nil {
			t.Error(err)
		}
		b.Close()
		if got, err := io.ReadAll(a); err != nil || string(got) != "answer" {
			t.Errorf("read %q, %v", got, err)
		}
		_, err := a.Write([]byte("x"))
		wantOp(t, err, "write", bdt.ErrClosed)
		_, err = b.Read(make([]byte, 1))
		wantOp(t, err, "read", net.ErrClosed)
	})
}

// Reset ends both directions, and both ends know the code and who it was.
func TestReset(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		l := listen(t, bob, "s")
		for i, code := range []uint32{0, 1, 77, 1<<32 - 1} {
			near, far := connect(t, alice, l)
			if i%2 == 1 {
				near, far = far, near
			}
			near.Reset(code)
			for _, e := range []struct {
				c    *bdt.Conn
				want bdt.ResetError
			}{{near, bdt.ResetError{Code: code}}, {far, bdt.ResetError{Code: code, Remote: true}}} {
				err := readByte(e.c)
				var re *bdt.ResetError
				if !errors.As(err, &re) || *re != e.want {
					t.Errorf("read: %v, want %v", err, &e.want)
				}
				_, err = e.c.Write([]byte("x"))
				if !errors.As(err, &re) || *re != e.want {
					t.Errorf("write: %v, want %v", err, &e.want)
				}
			}
		}
	})
}

// A stream that is closed before all was read tells the writer so.
func TestCloseUnread(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		a, b := connect(t, alice, listen(t, bob, "s"))
		io.WriteString(a, "unwanted")
		time.Sleep(time.Second)
		b.Close()
		time.Sleep(time.Second)
		_, err := a.Write([]byte("x"))
		wantOp(t, err, "write", nil)
		var re *bdt.ResetError
		if errors.As(err, &re) || errors.Is(err, net.ErrClosed) {
			t.Errorf("the peer's Close shows as %v", err)
		}
	})
}

// Deadlines hold for a Write that the peer's window blocks, and for Read.
func TestDeadlines(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		a, b := connect(t, alice, listen(t, bob, "s"))
		start := time.Now()
		a.SetWriteDeadline(start.Add(5 * time.Second))
		_, err := a.Write(make([]byte, 64<<20))
		wantOp(t, err, "write", os.ErrDeadlineExceeded)
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("the write ended after %v", took)
		}
		b.SetReadDeadline(time.Now().Add(-time.Second))
		wantOp(t, readByte(b), "read", os.ErrDeadlineExceeded)
		b.SetReadDeadline(time.Time{})
		if err := readByte(b); err != nil {
			t.Errorf("with the deadline gone: %v", err)
		}
	})
}

// Every byte arrives once, in order, both ways at once, while streams come and
// go beside.
func TestBothWays(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		a, b := connect(t, alice, listen(t, bob, "s"))
		const size = 1 << 20
		want := func(seed uint64) []byte {
			buf := make([]byte, size)
			io.ReadFull(pattern(seed), buf)
			return buf
		}
		done := make(chan bool)
		for seed, c := range map[uint64]*bdt.Conn{1: a, 2: b} {
			go func() {
				c.Write(want(seed))
				c.CloseWrite()
			}()
			go func() {
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, want(3-seed)) {
					t.Errorf("read %d bytes, %v", len(got), err)
				}
				done <- true
			}()
		}
		for range 20 {
			if _, err := alice.Ping(context.Background(), bob.ID()); err != nil {
				t.Error(err)
			}
		}
		<-done
		<-done
	})
}
