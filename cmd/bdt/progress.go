package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/identity"
)

const (
	// firstWord is after how long a command says that it is still trying, and nextWord
	// how often it says so again.
	firstWord = 2 * time.Second
	nextWord  = 5 * time.Second
)

// connect dials a service, and says on standard error why that takes long, if it does.
func connect(c *cobra.Command, d daemon.Device, id identity.ID, service string) (daemon.Stream, error) {
	stop := watch(c, d, id)
	s, err := d.Dial(c.Context(), id, service)
	stop()
	if err != nil {
		return nil, adviseDial(err)
	}
	return s, nil
}

// watch says on standard error, from time to time, that id is still being dialled and
// what it waits for, until the function that it returns is called. That may be
// called again.
func watch(c *cobra.Command, d daemon.Device, id identity.ID) (stop func()) {
	ctx, cancel := context.WithCancel(c.Context())
	var watcher sync.WaitGroup
	watcher.Go(func() {
		start := time.Now()
		timer := time.NewTimer(firstWord)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			if text := waitsFor(ctx, d, id); ctx.Err() == nil {
				fmt.Fprintf(c.ErrOrStderr(), "still trying after %.0f s: %s\n", time.Since(start).Seconds(), text)
			}
			timer.Reset(nextWord)
		}
	})
	return func() {
		cancel()
		watcher.Wait()
	}
}

// waitsFor says what the dialling of a device waits for.
func waitsFor(ctx context.Context, d daemon.Device, id identity.ID) string {
	status, err := d.Status(ctx)
	if err != nil {
		return err.Error()
	}
	e, err := d.Explain(ctx, id)
	if err != nil {
		e = &daemon.Explanation{} // not begun, or an owner
	}
	return waiting(status, e)
}

// waiting puts into words what a device waits for.
func waiting(s *daemon.Status, e *daemon.Explanation) string {
	var silent, answering []string
	for _, n := range s.SNs {
		if n.State == "online" {
			answering = append(answering, n.Ref)
		} else {
			silent = append(silent, n.Ref)
		}
	}
	var words []string
	if len(silent) > 0 {
		words = append(words, "no answer from super node "+strings.Join(silent, ", "))
	}
	if len(answering) > 0 && len(e.Paths) == 0 {
		words = append(words, "the super node answers, but has not found the device")
	}
	if n := len(e.Paths); n > 0 {
		words = append(words, fmt.Sprintf("no answer on any of %d paths", n))
	}
	if len(words) == 0 {
		words = append(words, "no answer from the device")
	}
	text := strings.Join(words, "; ")
	if n := len(e.Lines); n > 0 {
		text += " (last: " + e.Lines[n-1].Text + ")"
	}
	return text
}
