package virtual

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	// look is how often, in virtual time, a bubble looks whether it is to end.
	look = time.Second
	// horizon is the longest that a bubble runs, in virtual time. After it a bubble in which
	// nothing happens any more is found out.
	horizon = 7 * 24 * time.Hour
)

// ErrHorizon ends the context of a bubble that has run for a virtual week.
var ErrHorizon = errors.New("still not over after a simulated week")

// A PanicError is a function that panicked in a bubble, or one that was left waiting for
// what could not happen any more.
type PanicError struct {
	Name  string // of the bubble
	Value any
	Stack []byte // of the panic; empty: all goroutines of the bubble wait
}

// Error says what happened where.
func (e *PanicError) Error() string {
	if len(e.Stack) == 0 {
		return fmt.Sprintf("%s: %v", e.Name, e.Value)
	}
	return fmt.Sprintf("%s: panic: %v\n%s", e.Name, e.Value, e.Stack)
}

// Run runs f in a bubble of its own, named for what is said if it fails, and returns what f
// returns once all that f has started is over. The context that f is given ends, by the clock
// outside, a virtual second after ctx at the latest, for ctx's cause; it has the values of ctx.
// A panic of f, and goroutines that wait for each other for good, are a [*PanicError];
// a panic of another goroutine ends the process, as always.
//
// Nothing made outside may be waited for inside, and the other way round: the channels and
// timers of a bubble are its own.
func Run(ctx context.Context, name string, f func(ctx context.Context) error) (err error) {
	t := owner(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ran error
	defer func() {
		if r := recover(); r != nil {
			// The bubble's own goroutine found that nothing moves any more, or that
			// f has left something behind.
			err = errors.Join(ran, &PanicError{Name: name, Value: r})
		}
	}()
	synctest.Test(t, func(*testing.T) { ran = guard(ctx, name, f) })
	return ran
}

// guard runs f in a bubble.
func guard(outer context.Context, name string, f func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithCancelCause(values{outer})
	var watch sync.WaitGroup
	over := make(chan struct{})
	watch.Go(func() {
		tick := time.NewTicker(look)
		defer tick.Stop()
		end := time.Now().Add(horizon)
		for {
			select {
			case now := <-tick.C:
				if !now.Before(end) {
					cancel(ErrHorizon)
					return
				}
				if outer.Err() != nil {
					cancel(context.Cause(outer))
					return
				}
			case <-over:
				return
			}
		}
	})
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Name: name, Value: r, Stack: debug.Stack()}
		}
		close(over)
		watch.Wait()
		cancel(nil)
	}()
	return f(ctx)
}

// values are those of a context from outside, which itself may not be waited for in a
// bubble.
type values struct{ of context.Context }

func (values) Deadline() (time.Time, bool) { return time.Time{}, false }
func (values) Done() <-chan struct{}       { return nil }
func (values) Err() error                  { return nil }
func (v values) Value(key any) any         { return v.of.Value(key) }

// Each runs f for 0 to n-1, each in a bubble of its own and some at once: as many as jobs.
// After the first error, or when ctx has ended, it begins no more and returns that error
// once those under way are over. name names the bubble of i.
func Each(ctx context.Context, n, jobs int, name func(i int) string, f func(ctx context.Context, i int) error) error {
	owner(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(max(jobs, 1), n) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := Run(ctx, name(i), func(ctx context.Context) error { return f(ctx, i) }); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
