package virtual_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
)

type key struct{}

func TestRun(t *testing.T) {
	ctx := context.WithValue(virtual.Context(t), key{}, 7)
	cause := errors.New("cause")
	var took time.Duration
	err := virtual.Run(ctx, "an hour", func(ctx context.Context) error {
		start := time.Now()
		if ctx.Value(key{}) != 7 {
			t.Error("the values of the context are lost")
		}
		time.Sleep(time.Hour)
		took = time.Since(start)
		return cause
	})
	if err != cause || took != time.Hour {
		t.Errorf("%v after %v", err, took)
	}
}

func TestRunPanics(t *testing.T) {
	err := virtual.Run(virtual.Context(t), "case 5", func(context.Context) error { panic("oh") })
	var p *virtual.PanicError
	if !errors.As(err, &p) || p.Name != "case 5" || p.Value != "oh" || !strings.Contains(err.Error(), "bubble_test.go") {
		t.Errorf("%v", err)
	}
}

// What a function leaves behind, waiting for what never comes, is found.
func TestRunLeavesSomething(t *testing.T) {
	err := virtual.Run(virtual.Context(t), "case 6", func(context.Context) error {
		go func() { select {} }()
		return nil
	})
	var p *virtual.PanicError
	if !errors.As(err, &p) || !strings.HasPrefix(err.Error(), "case 6: deadlock") {
		t.Errorf("%v", err)
	}
}

// A function that waits for nothing is found, after a virtual week, whether or not it heeds its
// context.
func TestRunWaitsForever(t *testing.T) {
	if testing.Short() {
		t.Skip("a week takes the race detector 15 s")
	}
	err := virtual.Run(virtual.Context(t), "case 7", func(ctx context.Context) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err != virtual.ErrHorizon {
		t.Errorf("%v", err)
	}
	err = virtual.Run(virtual.Context(t), "case 8", func(context.Context) error { select {} })
	if err == nil || !strings.HasPrefix(err.Error(), "case 8: deadlock") {
		t.Errorf("%v", err)
	}
}

func TestRunIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(virtual.Context(t))
	cause := errors.New("enough")
	err := virtual.Run(ctx, "x", func(ctx context.Context) error {
		cancel(cause)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if err != cause {
		t.Errorf("%v", err)
	}
	if err := virtual.Run(ctx, "x", func(context.Context) error { panic("not to be run") }); err != cause {
		t.Errorf("after the end: %v", err)
	}
}

func TestEach(t *testing.T) {
	const n, jobs = 20, 3
	var mu sync.Mutex
	var seen [n]int
	var running, most atomic.Int32
	name := func(i int) string { return fmt.Sprint("case ", i) }
	err := virtual.Each(virtual.Context(t), n, jobs, name, func(ctx context.Context, i int) error {
		now := running.Add(1)
		for {
			m := most.Load()
			if now <= m || most.CompareAndSwap(m, now) {
				break
			}
		}
		time.Sleep(time.Duration(i) * time.Hour)
		synctest.Wait()
		running.Add(-1)
		mu.Lock()
		defer mu.Unlock()
		seen[i]++
		return nil
	})
	if err != nil || most.Load() > jobs {
		t.Errorf("%v, %d at once", err, most.Load())
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("case %d ran %d times", i, n)
		}
	}
}

func TestEachFails(t *testing.T) {
	cause := errors.New("the third")
	var ran atomic.Int32
	err := virtual.Each(virtual.Context(t), 1000, 1, func(i int) string { return "" }, func(_ context.Context, i int) error {
		ran.Add(1)
		if i == 2 {
			return cause
		}
		return nil
	})
	if err != cause || ran.Load() != 3 {
		t.Errorf("%v after %d", err, ran.Load())
	}
}
