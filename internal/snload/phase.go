package snload

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/internal/snclient"
)

// A Phase is what came of one kind of load.
type Phase struct {
	Done    uint64        // what succeeded
	Failed  uint64        // what did not
	Repeats uint64        // packets that were sent again because no answer came
	Reached uint64        // of calls: those of which the callee was told
	Elapsed time.Duration // since the first
	Latency Latency       // of what succeeded, repeats included
	Err     error         // of the last failure; nil: there was none
}

// PerSecond returns how many succeeded a second.
func (p Phase) PerSecond() float64 {
	if p.Elapsed <= 0 {
		return 0
	}
	return float64(p.Done) / p.Elapsed.Seconds()
}

// A Progress is told how many are done; it may be called from several
// goroutines, often, and must not block.
type Progress func(done int64)

// A tally counts a phase that is under way.
type tally struct {
	load         *Load
	start        time.Time
	repeats      uint64
	calls        uint64
	latency      histogram
	done, failed atomic.Uint64
	progress     Progress

	mu  sync.Mutex
	err error
}

func (l *Load) begin(p Progress) *tally {
	if p == nil {
		p = func(int64) {}
	}
	return &tally{load: l, start: time.Now(), repeats: l.Repeats(), calls: l.calls.Load(), progress: p}
}

// add counts one that took a time, or failed.
func (t *tally) add(d time.Duration, err error) {
	if err != nil {
		t.failed.Add(1)
		t.mu.Lock()
		t.err = err
		t.mu.Unlock()
		return
	}
	t.latency.add(d)
	t.progress(int64(t.done.Add(1)))
}

// phase returns what was counted. Nothing may be added any more.
func (t *tally) phase() Phase {
	return Phase{
		Done:    t.done.Load(),
		Failed:  t.failed.Load(),
		Repeats: t.load.Repeats() - t.repeats,
		Reached: t.load.calls.Load() - t.calls,
		Elapsed: time.Since(t.start),
		Latency: t.latency.latency(),
		Err:     t.err,
	}
}

// Prepare makes the identities of the devices, which takes no SN.
func (l *Load) Prepare(ctx context.Context, p Progress) error {
	t := l.begin(p)
	made := make([]*device, l.cfg.Devices)
	each(ctx, l.cfg.AtOnce, l.cfg.Devices, func(i int) {
		start := time.Now()
		var err error
		made[i], err = l.newDevice(i)
		t.add(time.Since(start), err)
	})
	for _, d := range made {
		if d != nil {
			l.devices = append(l.devices, d)
		}
	}
	return errors.Join(t.err, ctx.Err())
}

// Register brings the devices online, Config.AtOnce at a time: a handshake and
// a registration each. The latency is from the first packet to being registered.
func (l *Load) Register(ctx context.Context, p Progress) Phase {
	t := l.begin(p)
	each(ctx, l.cfg.AtOnce, len(l.devices), func(i int) {
		start := time.Now()
		d := l.devices[i]
		d.client.Start(l.ctx)
		ctx, cancel := context.WithTimeout(ctx, onlineTimeout)
		defer cancel()
		err := d.client.WaitOnline(ctx)
		t.add(time.Since(start), err)
	})
	return t.phase()
}

// each calls f for 0 to n-1, some at once, until ctx ends, and waits for all calls.
func each(ctx context.Context, atOnce, n int, f func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(atOnce, n) {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	running.Wait()
}

// Rest leaves the devices to themselves for a while: each pings as often as the
// SN wants. Done counts the packets that came from the SN, about one a ping; the latency is that of the
// devices' smoothed round trips at the end.
func (l *Load) Rest(ctx context.Context, d time.Duration) Phase {
	t := l.begin(nil)
	_, before := l.Packets()
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	_, after := l.Packets()
	p := t.phase()
	for _, x := range l.devices {
		if rtt := x.client.RTT(); rtt > 0 {
			t.latency.add(rtt)
		}
	}
	p.Done, p.Latency = after-before, t.latency.latency()
	return p
}

// Ping has random devices ping the SN for a while, some at once, each as soon
// as the last one is answered.
func (l *Load) Ping(ctx context.Context, d time.Duration, atOnce int, p Progress) Phase {
	return l.during(ctx, d, atOnce, p, func(ctx context.Context, one *device) (time.Duration, error) {
		return one.client.Ping(ctx)
	})
}

// Call has random devices call random others for a while, some at once.
// The latency is to the SN's answer.
func (l *Load) Call(ctx context.Context, d time.Duration, atOnce int, p Progress) Phase {
	before := l.calls.Load()
	ph := l.during(ctx, d, atOnce, p, func(ctx context.Context, one *device) (time.Duration, error) {
		start := time.Now()
		_, err := one.client.Call(ctx, l.other(one).id, snclient.CallOptions{})
		return time.Since(start), err
	})
	// The last callees may hear of it a little later than their callers.
	for range 50 {
		if ph.Reached = l.calls.Load() - before; ph.Reached >= ph.Done || ctx.Err() != nil {
			break
		}
		pause(ctx, 10*time.Millisecond)
	}
	return ph
}

// failPause follows a failure: what fails at once would be tried without end, in which
// virtual time does not pass.
const failPause = time.Millisecond

// during does something with random devices for a while. What is under way at
// the end is waited for.
func (l *Load) during(ctx context.Context, d time.Duration, atOnce int, p Progress, f func(context.Context, *device) (time.Duration, error)) Phase {
	t := l.begin(p)
	end := t.start.Add(d)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for ctx.Err() == nil && time.Now().Before(end) {
				took, err := f(ctx, l.devices[rand.IntN(len(l.devices))])
				if ctx.Err() == nil { // what was broken off is neither
					t.add(took, err)
				}
				if err != nil {
					pause(ctx, failPause)
				}
			}
		})
	}
	running.Wait()
	return t.phase()
}

// other returns a random device that is not one, unless there is no other.
func (l *Load) other(one *device) *device {
	for {
		d := l.devices[rand.IntN(len(l.devices))]
		if d != one || len(l.devices) == 1 {
			return d
		}
	}
}

const (
	// reachTry is how long one attempt to reach a device may take, and reachPause the
	// time between two.
	reachTry   = time.Second
	reachPause = 20 * time.Millisecond
)

// Reach has n devices, chosen at random (all if there are no more), called by others until
// each has heard that it is called. The latency of each is since the time given: when an
// SN was stopped, for example. Failed counts those that were not reached before ctx ended.
func (l *Load) Reach(ctx context.Context, since time.Time, n, atOnce int, p Progress) Phase {
	t := l.begin(p)
	order := rand.Perm(len(l.devices))
	n = min(n, len(order))
	for _, i := range order[:n] {
		l.devices[i].reached.Store(false)
	}
	each(ctx, atOnce, n, func(i int) {
		d := l.devices[order[i]]
		for ctx.Err() == nil {
			if l.reach(ctx, d) {
				t.add(time.Since(since), nil)
				return
			}
		}
	})
	ph := t.phase()
	ph.Failed = uint64(n) - ph.Done
	return ph
}

// reach tries once to have a device called, and reports whether it was.
func (l *Load) reach(ctx context.Context, d *device) bool {
	try, cancel := context.WithTimeout(ctx, reachTry)
	defer cancel()
	// That the SN says so is not enough: the callee has to hear of it.
	_, err := l.other(d).client.Call(try, d.id, snclient.CallOptions{})
	for err == nil && !d.reached.Load() && try.Err() == nil {
		pause(try, time.Millisecond)
	}
	if d.reached.Load() {
		return true
	}
	pause(ctx, reachPause)
	return false
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
