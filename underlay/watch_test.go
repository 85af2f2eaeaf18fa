package underlay

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A listing is a network whose interfaces a test sets.
type listing struct {
	Network

	mu   sync.Mutex
	list []Interface
	err  error
}

func (l *listing) Interfaces() ([]Interface, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list, l.err
}

func (l *listing) set(err error, list ...Interface) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list, l.err = list, err
}

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		lo := Interface{Name: "lo", Index: 1, Up: true, Loopback: true}
		eth := Interface{Name: "eth0", Index: 2, Up: true, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}
		n := &listing{list: []Interface{lo}}
		changed := poll(ctx, n, time.Second)
		told := func(want bool, what string) {
			t.Helper()
			time.Sleep(1500 * time.Millisecond)
			synctest.Wait()
			select {
			case _, ok := <-changed:
				if !want || !ok {
					t.Errorf("%s: told (channel open %v)", what, ok)
				}
			default:
				if want {
					t.Errorf("%s: not told", what)
				}
			}
		}
		told(false, "no change")
		n.set(nil, lo, eth)
		told(true, "an interface")
		told(false, "no further change")
		n.set(errors.New("not now"))
		told(false, "an error")
		n.set(nil, lo, eth)
		told(false, "as before the error")
		eth.Up = false
		n.set(nil, lo, eth)
		told(true, "down")
		n.set(nil, lo)
		time.Sleep(5 * time.Second)
		n.set(nil, lo, eth)
		told(true, "two changes")
		told(false, "two changes are one value")
		cancel()
		if _, ok := <-changed; ok {
			t.Error("told of a change when ctx ended")
		}
	})
}
