package bdt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/internal/session"
)

// inCalls runs f between two public devices with a session, of which bob answers
// calls of "s" as h does.
func inCalls(t *testing.T, cfg bdt.CallConfig, f func(t *testing.T, alice, bob *bdt.Stack, h *bdt.CallService)) {
	t.Helper()
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		if cfg.Access == nil {
			cfg.Access = bdt.Everyone
		}
		h, err := bob.HandleCalls("s", cfg)
		if err != nil {
			t.Fatal(err)
		}
		f(t, alice, bob, h)
	})
}

// echoCall answers with the question.
func echoCall(_ context.Context, q *bdt.Question) ([]byte, error) { return q.Data, nil }

func TestCallSizes(t *testing.T) {
	inCalls(t, bdt.CallConfig{Handler: echoCall, MaxQuestion: bdt.MaxCall}, func(t *testing.T, alice, bob *bdt.Stack, _ *bdt.CallService) {
		for _, n := range []int{0, 1, 183, 1200, 64 << 10, bdt.MaxCall} {
			q := make([]byte, n)
			io.ReadFull(pattern(3), q)
			a, err := alice.Call(context.Background(), bob.ID(), "s", q)
			if err != nil || !bytes.Equal(a, q) || a == nil {
				t.Errorf("%d bytes: %d came back, %v", n, len(a), err)
			}
		}
		_, err := alice.Call(context.Background(), bob.ID(), "s", make([]byte, bdt.MaxCall+1))
		wantOp(t, err, "call", bdt.ErrTooLong)
	})
}

// What a handler is told, and what its errors come to.
func TestCallHandler(t *testing.T) {
	long := strings.Repeat("ä", 1000)
	handler := func(_ context.Context, q *bdt.Question) ([]byte, error) {
		switch string(q.Data) {
		case "who":
			return []byte(fmt.Sprint(q.Caller.Device.Name(), " ", q.Rights, " ", q.Early)), nil
		case "error":
			return []byte("not sent"), errors.New("no \xff such page")
		case "long error":
			return nil, errors.New(long)
		case "panic":
			panic("handler")
		case "long answer":
			return make([]byte, bdt.MaxCall+1), nil
		}
		return nil, nil
	}
	cfg := bdt.CallConfig{Handler: handler, MaxQuestion: 100, Access: bdt.Access(bdt.Everyone).Limit(bdt.MayCall | bdt.MayRead)}
	inCalls(t, cfg, func(t *testing.T, alice, bob *bdt.Stack, _ *bdt.CallService) {
		for q, want := range map[string]struct {
			answer  string
			err     error
			message string
		}{
			"who":                    {answer: "alice call,read false"},
			"nothing":                {},
			"error":                  {message: "no \ufffd such page"},
			"long error":             {message: long[:1024]},
			"panic":                  {err: bdt.ErrFailed},
			"long answer":            {err: bdt.ErrFailed},
			strings.Repeat("x", 101): {err: bdt.ErrTooLong},
		} {
			a, err := alice.Call(context.Background(), bob.ID(), "s", []byte(q))
			var ce *bdt.CallError
			switch {
			case want.message != "":
				if !errors.As(err, &ce) || ce.Message != want.message {
					t.Errorf("%s: %v", q, err)
				}
			case want.err != nil:
				wantOp(t, err, "call", want.err)
			case err != nil || string(a) != want.answer:
				t.Errorf("%s: %q, %v", q, a, err)
			}
		}
		if _, err := alice.Call(context.Background(), bob.ID(), "s", []byte("who")); err != nil {
			t.Errorf("after a panic: %v", err)
		}
	})
}

func TestCallErrors(t *testing.T) {
	inCalls(t, bdt.CallConfig{Handler: echoCall}, func(t *testing.T, alice, bob *bdt.Stack, h *bdt.CallService) {
		ctx := context.Background()
		_, err := alice.Call(ctx, bob.ID(), "a b", nil)
		wantOp(t, err, "call", nil)
		_, err = alice.Call(ctx, alice.ID(), "s", nil)
		wantOp(t, err, "call", nil)
		_, err = bob.HandleCalls("s", bdt.CallConfig{Handler: echoCall})
		wantOp(t, err, "listen", bdt.ErrServiceInUse)
		for _, cfg := range []bdt.CallConfig{
			{}, {Handler: echoCall, MaxQuestion: -1}, {Handler: echoCall, MaxQuestion: bdt.MaxCall + 1},
			{Handler: echoCall, PerCaller: -1}, {Handler: echoCall, Concurrency: -1},
		} {
			_, err := bob.HandleCalls("t", cfg)
			wantOp(t, err, "listen", nil)
		}
		// A listener of the same name is something else.
		l := listen(t, bob, "s")
		a, b := connect(t, alice, l)
		a.Close()
		b.Close()
		if _, err := alice.Call(ctx, bob.ID(), "s", []byte("x")); err != nil {
			t.Error(err)
		}
		h.Close()
		h.Close()
		_, err = alice.Call(ctx, bob.ID(), "s", []byte("x"))
		wantOp(t, err, "call", bdt.ErrDenied)
		if _, err := bob.HandleCalls("s", bdt.CallConfig{Handler: echoCall}); err != nil {
			t.Errorf("after Close: %v", err)
		}
		alice.Close()
		_, err = alice.Call(ctx, bob.ID(), "s", []byte("x"))
		wantOp(t, err, "call", bdt.ErrClosed)
		bob.Close()
		_, err = bob.HandleCalls("u", bdt.CallConfig{Handler: echoCall})
		wantOp(t, err, "listen", bdt.ErrClosed)
	})
}

// Calls beyond the bounds are told that the service is busy, and each that ends
// makes room.
func TestCallBounds(t *testing.T) {
	for name, cfg := range map[string]bdt.CallConfig{"per caller": {PerCaller: 3}, "in all": {Concurrency: 3}} {
		t.Run(name, func(t *testing.T) {
			var running, most atomic.Int32
			cfg.Handler = func(context.Context, *bdt.Question) ([]byte, error) {
				defer running.Add(-1)
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Second)
				return nil, nil
			}
			inCalls(t, cfg, func(t *testing.T, alice, bob *bdt.Stack, _ *bdt.CallService) {
				for range 2 {
					var wg sync.WaitGroup
					var busy atomic.Int32
					for range 10 {
						wg.Go(func() {
							_, err := alice.Call(context.Background(), bob.ID(), "s", nil)
							if errors.Is(err, bdt.ErrBusy) {
								busy.Add(1)
							} else if err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					if busy.Load() != 7 || most.Load() != 3 {
						t.Errorf("%d of 10 found it busy, %d ran at once", busy.Load(), most.Load())
					}
				}
			})
		})
	}
}

// A caller waits no longer than the service's own time, whether the handler heeds
// its context or not; and the handler's context ends when the caller gives up.
func TestCallTimes(t *testing.T) {
	var ended chan error
	handler := func(ctx context.Context, q *bdt.Question) ([]byte, error) {
		if string(q.Data) == "deaf" {
			time.Sleep(time.Minute)
			return nil, nil
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	inCalls(t, bdt.CallConfig{Handler: handler, Timeout: 5 * time.Second}, func(t *testing.T, alice, bob *bdt.Stack, _ *bdt.CallService) {
		ended = make(chan error, 4)
		for _, q := range []string{"deaf", "heeds"} {
			start := time.Now()
			_, err := alice.Call(context.Background(), bob.ID(), "s", []byte(q))
			wantOp(t, err, "call", bdt.ErrNoAnswer)
			if took := time.Since(start); took < 5*time.Second || took > 5*time.Second+50*time.Millisecond {
				t.Errorf("%s: ErrNoAnswer after %v", q, took)
			}
		}
		<-ended
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := alice.Call(ctx, bob.ID(), "s", []byte("give up"))
		wantOp(t, err, "call", context.DeadlineExceeded)
		<-ended
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("the handler heard of it after %v", took)
		}
		// Closing the stack ends what is being answered.
		go func() { time.Sleep(time.Second); bob.Close() }()
		_, err = alice.Call(context.Background(), bob.ID(), "s", []byte("close"))
		wantOp(t, err, "call", bdt.ErrPeerClosed)
		<-ended
		time.Sleep(time.Minute) // the deaf one ends
	})
}

// A caller that never ends its question, or does not take its answer, holds a place
// for a while, not for good.
func TestCallSlowCaller(t *testing.T) {
	cfg := bdt.CallConfig{PerCaller: 1, Handler: func(_ context.Context, q *bdt.Question) ([]byte, error) {
		return bytes.Repeat(q.Data, bdt.MaxCall/max(len(q.Data), 1)), nil
	}}
	inCalls(t, cfg, func(t *testing.T, alice, bob *bdt.Stack, _ *bdt.CallService) {
		s, err := alice.RawStream(context.Background(), bob.ID())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(s, "\x03\x01sunfinished")
		time.Sleep(time.Second)
		_, err = alice.Call(context.Background(), bob.ID(), "s", []byte("x"))
		wantOp(t, err, "call", bdt.ErrBusy)
		time.Sleep(10 * time.Second)
		if _, err := s.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "code 3") {
			t.Errorf("unfinished: %v", err)
		}
		if _, err := alice.Call(context.Background(), bob.ID(), "s", []byte("x")); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

// Half-asked questions under many names do not keep out those that are asked whole.
func TestCallUnfinished(t *testing.T) {
	cfg := bdt.CallConfig{Concurrency: 8, PerCaller: 4, Handler: echoCall}
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		cfg.Access = bdt.Everyone
		if _, err := bob.HandleCalls("s", cfg); err != nil {
			t.Fatal(err)
		}
		var first session.Stream
		for range 5 {
			rogue := w.open("rogue", w.public("rogue", time.Millisecond, freshAddr()))
			defer closeAll(t, rogue)
			for range 4 {
				s, err := rogue.RawStream(context.Background(), bob.ID())
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(s, "\x03\x01sunfinished")
				if first == nil {
					first = s
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		for range 20 {
			if a, err := alice.Call(context.Background(), bob.ID(), "s", []byte("whole")); err != nil || string(a) != "whole" {
				t.Errorf("%q, %v", a, err)
			}
		}
		if _, err := first.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "code 4") {
			t.Errorf("the oldest: %v", err)
		}
		time.Sleep(11 * time.Second) // the others are given up
	})
}

// Calls that a slow policy has not let in are among the streams that are bounded:
// each holds a goroutine.
func TestCallsAtThePolicy(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		var mu sync.Mutex
		asking, most := 0, 0
		slow := func(bdt.Caller) bdt.Rights {
			mu.Lock()
			asking++
			most = max(most, asking)
			mu.Unlock()
			time.Sleep(3 * time.Second)
			mu.Lock()
			asking--
			mu.Unlock()
			return 0
		}
		if _, err := bob.HandleCalls("s", bdt.CallConfig{Handler: echoCall, Access: slow}); err != nil {
			t.Fatal(err)
		}
		var calls sync.WaitGroup
		for i := range 1000 {
			calls.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				if _, err := alice.Call(context.Background(), bob.ID(), "s", nil); !errors.Is(err, bdt.ErrDenied) && !errors.Is(err, bdt.ErrBusy) {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		calls.Wait()
		if most < 200 || most > 256 {
			t.Errorf("the policy was asked %d times at once", most)
		}
	})
}

// What is no answer is refused by the caller.
func FuzzCallAnswer(f *testing.F) {
	for _, b := range []string{"", "\x00", "\x00answer", "\x01error \xff", "\x02", "\xff"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		answer, err := bdt.ReadAnswer(bytes.NewReader(b))
		var ce *bdt.CallError
		switch {
		case len(b) > 0 && b[0] == 0 && len(b) <= 1+bdt.MaxCall:
			if err != nil || !bytes.Equal(answer, b[1:]) {
				t.Fatalf("%q: %q, %v", b, answer, err)
			}
		case len(b) > 0 && b[0] == 1 && len(b) <= 1+bdt.MaxCall:
			if !errors.As(err, &ce) || !utf8.ValidString(ce.Message) || len(ce.Message) > 1024 {
				t.Fatalf("%q: %v", b, err)
			}
		case err == nil:
			t.Fatalf("%q is an answer", b)
		}
	})
}

func TestCallAnswerTooLong(t *testing.T) {
	if _, err := bdt.ReadAnswer(bytes.NewReader(make([]byte, 2+bdt.MaxCall))); !errors.Is(err, bdt.ErrTooLong) {
		t.Error(err)
	}
}
