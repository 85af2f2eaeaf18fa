package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
)

const (
	// patience bounds the wait for an answer, once there is a session.
	patience = 20 * time.Second
	// settle is how long a path that is expected may take to come about after the first
	// answered byte, and look how often that is looked at.
	settle = 2 * time.Second
	look   = 10 * time.Millisecond
)

// meeting is what a step that dials needs: the stack of who dials, the id of who is dialled. It
// counts their probes until the function is called.
func (w *world) meeting(s *scenario.Step, o *scenario.Outcome) (*bdt.Stack, identity.ID, func(), error) {
	from, stack, err := w.running(s.From)
	if err != nil {
		return nil, identity.ID{}, nil, err
	}
	to := w.devices[s.To]
	p := w.tracer.watch(from.Host, to.Host)
	return stack, to.local.Device.ID(), func() {
		time.Sleep(time.Nanosecond) // what has happened until now has been told after it
		o.Probes = w.tracer.count(p)
	}, nil
}

// dial opens a stream and waits for the first answered byte.
func (w *world) dial(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	stack, id, done, err := w.meeting(s, o)
	if err != nil {
		return err
	}
	defer done()
	start := time.Now()
	c, err := stack.Dial(ctx, id, scenario.Echo)
	if err != nil {
		return err
	}
	defer c.Close()
	defer closeWith(ctx, c)()
	c.SetDeadline(time.Now().Add(patience))
	if _, err = c.Write([]byte("x")); err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	if err != nil {
		return err
	}
	o.FirstByte = time.Since(start)
	o.Path = awaitPath(ctx, stack, id, s.Expect.Paths)
	return nil
}

// closeWith resets a stream when a context ends, until the function is called.
func closeWith(ctx context.Context, c *bdt.Conn) (stop func()) {
	end := context.AfterFunc(ctx, func() { c.Reset(0) })
	return func() { end() }
}

// awaitPath waits until a device is reached by one of some paths, or if none are named by any
// but a relay, but not for long, and returns by which it is.
func awaitPath(ctx context.Context, stack *bdt.Stack, id identity.ID, want []string) string {
	for end := time.Now().Add(settle); ; {
		peer, _ := stack.Peer(id)
		kind := peer.Path.Kind
		if len(want) == 0 && kind != scenario.Relayed || slices.Contains(want, kind) || slices.Contains(want, scenario.None) || time.Now().After(end) || sleep(ctx, look) != nil {
			return kind
		}
	}
}

// call asks one question.
func (w *world) call(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	stack, id, done, err := w.meeting(s, o)
	if err != nil {
		return err
	}
	defer done()
	start := time.Now()
	question := []byte("what do you hear?")
	answer, err := stack.Call(ctx, id, scenario.Call, question)
	if err != nil {
		return err
	}
	o.FirstByte = time.Since(start)
	if !bytes.Equal(answer, question) {
		return fmt.Errorf("the answer is %q", answer)
	}
	o.Path = awaitPath(ctx, stack, id, s.Expect.Paths)
	return nil
}

// ping pings some times.
func (w *world) ping(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	stack, id, done, err := w.meeting(s, o)
	if err != nil {
		return err
	}
	defer done()
	start := time.Now()
	var rtts []time.Duration
	var last error
	for i := range s.Count {
		if i > 0 {
			if err := sleep(ctx, time.Until(start.Add(time.Duration(i)*s.Every))); err != nil {
				return err
			}
		}
		limit, cancel := context.WithTimeout(ctx, patience)
		rtt, err := stack.Ping(limit, id)
		cancel()
		if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer for %v", patience)
		}
		if err != nil {
			last = err
			continue
		}
		if len(rtts) == 0 {
			o.FirstByte = time.Since(start)
		}
		rtts = append(rtts, rtt)
	}
	if s.Count > 1 {
		o.Detail = fmt.Sprintf("%d of %d answered", len(rtts), s.Count)
		if len(rtts) > 0 {
			slices.Sort(rtts)
			o.Detail += fmt.Sprintf(", rtt %v to %v, median %v", brief(rtts[0]), brief(rtts[len(rtts)-1]), brief(rtts[len(rtts)/2]))
		}
	}
	if lost := s.Count - len(rtts); float64(lost) > s.Expect.Lost*float64(s.Count) {
		if s.Count == 1 {
			return last
		}
		return fmt.Errorf("%d of %d pings were not answered: %w", lost, s.Count, last)
	}
	o.Path = awaitPath(ctx, stack, id, s.Expect.Paths)
	return nil
}

// brief is a duration without what nobody reads.
func brief(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// online waits until an SN serves a device.
func (w *world) online(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	_, stack, err := w.running(s.From)
	if err != nil {
		return err
	}
	limit := patience
	if s.Expect.Within > 0 {
		limit = s.Expect.Within + time.Second
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = stack.WaitOnline(wait)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no super node has served it for %v", limit)
	}
	return err
}

// netcheck examines the network of a device.
func (w *world) netcheck(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	_, stack, err := w.running(s.From)
	if err != nil {
		return err
	}
	r, err := stack.NetCheck(ctx)
	if err != nil {
		return err
	}
	o.Detail, err = Verdicts(r, s.Expect)
	return err
}
