package bdt_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// What was written before Shutdown arrives, also over a path that loses packets,
// though nobody waits for it.
func TestShutdownDelivers(t *testing.T) {
	const size = 300_000
	for seed := range 20 {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.FullCone, 40*time.Millisecond, "198.51.100.2"))
			got := make(chan int64, 1)
			l := listen(t, bob, "sink")
			go func() {
				c, err := l.Accept()
				if err != nil {
					got <- -1
					return
				}
				n, _ := io.Copy(io.Discard, c)
				got <- n
			}()
			c, err := alice.Dial(context.Background(), bob.ID(), "sink")
			if err != nil {
				t.Fatal(err)
			}
			if seed > 0 {
				w.links["alice"].SetLoss(0.05)
			}
			if _, err := c.Write(make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if err := alice.Shutdown(context.Background()); err != nil {
				t.Errorf("shutdown: %v", err)
			}
			if n := <-got; n != size {
				t.Errorf("round %d: %d of %d bytes arrived", seed, n, size)
			}
			closeAll(t, alice, bob)
		})
	}
}

// What has arrived can be read for a while after who sent it has left, and who left
// can come back meanwhile.
func TestShutdownLetsRead(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		host := w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1")
		device := newDevice(t, "alice")
		identified := func(c *bdt.Config) { c.Device = device }
		alice := w.open("alice", host, identified)
		bob := w.open("bob", w.behind("bob", netsim.FullCone, 40*time.Millisecond, "198.51.100.2"))
		l := listen(t, bob, "notes")
		ctx := context.Background()
		for range 2 {
			c, err := alice.Dial(ctx, bob.ID(), "notes")
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "the last word")
			c.Close()
		}
		w.links["alice"].SetLoss(0.3)
		if err := alice.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		w.links["alice"].SetLoss(0)

		time.Sleep(4 * time.Second)
		read := func() (string, error) {
			c, err := l.AcceptConn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(c)
			return string(b), err
		}
		if text, err := read(); text != "the last word" || err != nil {
			t.Errorf("read %q, %v 4 s after the end", text, err)
		}
		time.Sleep(1100 * time.Millisecond)
		if _, err := read(); !errors.Is(err, bdt.ErrPeerClosed) {
			t.Errorf("read: %v 5.1 s after the end, want that the peer has closed", err)
		}

		alice = w.open("alice", host, identified)
		alice.ServeEcho()
		ask(t, bob, alice.ID())
		if err := alice.Shutdown(ctx); err != nil {
			t.Fatal(err)
		}
		alice = w.open("alice", host, identified)
		alice.ServeEcho()
		start := time.Now()
		ask(t, bob, alice.ID())
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("who left and came back answered after %v", took)
		}
		closeAll(t, alice, bob)
	})
}

// Shutdown waits no longer than it is told to, and closes the stack all the same.
func TestShutdownEnds(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		l := listen(t, bob, "sink")
		go func() {
			if c, err := l.Accept(); err == nil {
				io.Copy(io.Discard, c)
			}
		}()
		c, err := alice.Dial(context.Background(), bob.ID(), "sink")
		if err != nil {
			t.Fatal(err)
		}
		var busy sync.WaitGroup
		busy.Go(func() { // keeps the session so until that is closed
			for {
				if _, err := c.Write(make([]byte, 1000)); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
		accept := listen(t, alice, "other")
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := alice.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("shutdown of a busy stack: %v, want the deadline", err)
		}
		if took := time.Since(start); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("took %v, want 2 s", took)
		}
		busy.Wait()
		if _, err := accept.Accept(); !errors.Is(err, bdt.ErrClosed) {
			t.Errorf("accept: %v, want closed", err)
		}
		if _, err := alice.Dial(context.Background(), bob.ID(), "sink"); !errors.Is(err, bdt.ErrClosed) {
			t.Errorf("dial: %v, want closed", err)
		}
		closeAll(t, alice, bob)
	})
}

// A stack without sessions has nothing to wait for.
func TestShutdownIdle(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		start := time.Now()
		if err := alice.Shutdown(context.Background()); err != nil || time.Since(start) > time.Millisecond {
			t.Errorf("took %v: %v", time.Since(start), err)
		}
		closeAll(t, alice, bob)
	})
}
