package main

import (
	"context"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/daemon"
)

// drainLimit bounds the wait for what was written to arrive.
const drainLimit = 5 * time.Second

// drain stops a device of this process once what was written to its streams has
// arrived, or has had time to. A device that another process runs goes on by itself.
func drain(d daemon.Device) {
	if h, ok := d.(*here); ok {
		ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
		defer cancel()
		_ = h.Stack().Shutdown(ctx) // what has not arrived by then is given up
	}
}
