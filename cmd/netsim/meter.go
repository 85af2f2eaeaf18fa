package main

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/terminal"
)

const (
	// meterDelay is how long something takes before it is shown how far it is.
	meterDelay = time.Second
	meterTick  = 100 * time.Millisecond
)

// A meter shows on standard error, if that is a terminal, how much of something is
// done. It goes by the clock outside of bubbles; Add may be called in them.
type meter struct {
	done atomic.Int64
	stop chan struct{}
	wait sync.WaitGroup
}

// newMeter starts a meter of total things.
func newMeter(c *cobra.Command, label string, total int64) *meter {
	m := &meter{stop: make(chan struct{})}
	t := terminal.New(c.ErrOrStderr(), os.Getenv)
	m.wait.Go(func() {
		tick := time.NewTicker(meterTick)
		defer tick.Stop()
		var bar *terminal.Bar
		for start := time.Now(); ; {
			select {
			case <-tick.C:
				if bar == nil && time.Since(start) > meterDelay {
					bar = t.Counter(label, total)
				}
				if bar != nil {
					bar.Set(m.done.Load())
				}
			case <-m.stop:
				if bar != nil {
					bar.Clear()
				}
				return
			}
		}
	})
	return m
}

// add says that n more are done.
func (m *meter) add(n int64) { m.done.Add(n) }

// close removes the meter.
func (m *meter) close() {
	close(m.stop)
	m.wait.Wait()
}
