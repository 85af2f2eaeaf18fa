package bdt_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

func TestBacklog(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		l := listen(t, bob, "s")
		ctx := context.Background()
		conns := make([]*bdt.Conn, bdt.Backlog+3)
		for i := range conns {
			c, err := alice.Dial(ctx, bob.ID(), "s")
			if err != nil {
				t.Fatal(err)
			}
			conns[i] = c
			time.Sleep(10 * time.Millisecond) // so that they arrive in order
		}
		for _, c := range conns[bdt.Backlog:] {
			if err := readByte(c); !errors.Is(err, bdt.ErrBusy) {
				t.Errorf("beyond the backlog: %v", err)
			}
		}
		// Room for one, made by Accept, is room for one more.
		c, err := l.AcceptConn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		again, err := alice.Dial(ctx, bob.ID(), "s")
		if err != nil {
			t.Fatal(err)
		}
		for range bdt.Backlog {
			c, err := l.AcceptConn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			go func() { io.WriteString(c, "!") }()
		}
		for _, c := range append(conns[1:bdt.Backlog], again) {
			if err := readByte(c); err != nil {
				t.Errorf("from the backlog: %v", err)
			}
		}
	})
}

func TestHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		send string
		slow bool  // a byte each second
		want error // nil: malformed
		wait time.Duration
	}{
		"form 0":       {send: "\x00\x01s"},
		"form 4":       {send: "\x04\x01s"},
		"no name":      {send: "\x01\x00"},
		"long name":    {send: "\x01\x41" + strings.Repeat("s", 0x41)},
		"strange name": {send: "\x01\x03a\x00b"},
		"cut off":      {send: "\x01\x05s", wait: 10 * time.Second},
		"one byte":     {send: "\x01", wait: 10 * time.Second},
		"too slow":     {send: "\x01\x20" + strings.Repeat("s", 0x20), slow: true, wait: 10 * time.Second},
		"in time":      {send: "\x01\x05sssss", slow: true, want: bdt.ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
				alice, bob := pair(w)
				defer closeAll(t, alice, bob)
				s, err := alice.RawStream(context.Background(), bob.ID())
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				go func() {
					if !tt.slow {
						io.WriteString(s, tt.send)
						return
					}
					for i := range len(tt.send) {
						if _, err := io.WriteString(s, tt.send[i:i+1]); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				_, err = s.Read(make([]byte, 1))
				took := time.Since(start)
				want := "code 3"
				if tt.want != nil {
					want = "code 1"
				}
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("refused with %v, want %s", err, want)
				}
				if tt.wait > 0 && (took < tt.wait || took > tt.wait+time.Second) {
					t.Errorf("refused after %v, want %v", took, tt.wait)
				}
				s.CancelWrite(0)
				time.Sleep(time.Minute) // the slow writer ends
			})
		})
	}
}

// The caller's view of a header that the peer does not understand.
func TestMalformedIsNamed(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		listen(t, bob, "s")
		conns := make([]io.ReadWriteCloser, 0, bdt.MaxHeaders+8)
		for range cap(conns) {
			s, err := alice.RawStream(context.Background(), bob.ID())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
			conns = append(conns, s)
		}
		time.Sleep(time.Second)
		// 256 hold a place each; a well-formed one finds none.
		if err := answer(alice, bob.ID(), "s"); !errors.Is(err, bdt.ErrBusy) {
			t.Errorf("beside %d streams without a header: %v", len(conns), err)
		}
		time.Sleep(15 * time.Second)
		if err := answer(alice, bob.ID(), "t"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("after the header's time: %v", err)
		}
		for _, c := range conns {
			c.Close()
		}
	})
}

func TestListenerClose(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		l := listen(t, bob, "s")
		if l.Addr().Network() != "bdt" || l.Addr().String() != bob.ID().String()+"/s" {
			t.Errorf("address is %v", l.Addr())
		}
		a, b := connect(t, alice, l)
		waiting, err := alice.Dial(context.Background(), bob.ID(), "s")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		time.Sleep(time.Second)

		blocked := listen(t, bob, "blocked")
		result := make(chan error)
		go func() {
			_, err := blocked.Accept()
			result <- err
		}()
		time.Sleep(time.Second)
		blocked.Close()
		wantOp(t, <-result, "accept", bdt.ErrClosed)

		l.Close()
		l.Close()
		_, err = l.Accept()
		wantOp(t, err, "accept", bdt.ErrClosed)
		if err := readByte(waiting); !errors.Is(err, bdt.ErrNoService) {
			t.Errorf("the stream that waited: %v", err)
		}
		go io.WriteString(b, "!")
		if err := readByte(a); err != nil {
			t.Errorf("the accepted stream: %v", err)
		}
		if err := answer(alice, bob.ID(), "s"); !errors.Is(err, bdt.ErrDenied) {
			t.Errorf("after Close: %v", err)
		}

		l = listen(t, bob, "s")
		cancel()
		_, err = l.AcceptConn(ctx)
		wantOp(t, err, "accept", context.Canceled)
		connect(t, alice, l)
	})
}

// A listener that closes while streams come in keeps none of them hanging.
func TestListenerCloseRaces(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		ask(t, func() *bdt.Stack { bob.ServeEcho(); return alice }(), bob.ID())
		for round := range 50 {
			l := listen(t, bob, "s")
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					c, err := alice.Dial(context.Background(), bob.ID(), "s")
					if err != nil {
						t.Error(err)
						return
					}
					defer c.Close()
					c.SetDeadline(time.Now().Add(time.Minute))
					err = readByte(c)
					if !errors.Is(err, bdt.ErrNoService) && !errors.Is(err, bdt.ErrDenied) {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			time.Sleep(10*time.Millisecond + time.Duration(round)*20*time.Microsecond)
			l.Close()
			wg.Wait()
		}
	})
}

// One device has so many streams to a service at a time, and as many again when it has
// closed them, however they end; others are not hindered.
func TestStreamsOfOneDevice(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		carol := w.open("carol", w.public("carol", time.Millisecond, "203.0.113.13"))
		defer closeAll(t, alice, bob, carol)
		l := listen(t, bob, "s")
		for range 2 {
			var accepted []*bdt.Conn
			for range 1024 {
				c, a := connect(t, alice, l)
				c.Close() // that it is through with it does not count
				accepted = append(accepted, a)
			}
			c, err := alice.Dial(context.Background(), bob.ID(), "s")
			if err != nil {
				t.Fatal(err)
			}
			if err := readByte(c); !errors.Is(err, bdt.ErrBusy) {
				t.Errorf("one too many: %v", err)
			}
			connect(t, carol, l)
			for i, a := range accepted {
				if i%2 == 0 {
					a.Reset(1)
				}
				a.Close()
			}
		}
		// Those that wait for Accept are let go with the listener.
		for range 3 {
			for range 128 {
				if _, err := alice.Dial(context.Background(), bob.ID(), "s"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			l.Close()
			l = listen(t, bob, "s")
		}
		connect(t, alice, l)
		if n := bob.OpenStreams(alice.ID(), "s"); n != 1 {
			t.Errorf("%d streams are open, want 1", n)
		}
	})
}
