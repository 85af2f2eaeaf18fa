package underlay

import (
	"context"
	"reflect"
	"time"
)

// The seam between the portable part and the platforms is one function,
//
//	func watch(ctx context.Context, n Network) (<-chan struct{}, error)
//
// It has two implementations:
//
//   - watch_linux.go listens to rtnetlink, and polls where it may not (Android);
//   - watch_other.go polls.

// pollInterval is how often interfaces are looked at where the system does not
// tell of changes. Listing a few takes 0.2 ms.
const pollInterval = 2 * time.Second

// Watch implements [Network].
func (n osNetwork) Watch(ctx context.Context) (<-chan struct{}, error) { return watch(ctx, n) }

// poll is Watch by listing the interfaces at an interval. It does not see
// changes of routes alone.
func poll(ctx context.Context, n Network, interval time.Duration) <-chan struct{} {
	changed := make(chan struct{}, 1)
	last, _ := n.Interfaces() // an error is told as a change when it is over
	go func() {
		defer close(changed)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			now, err := n.Interfaces()
			if err == nil && !reflect.DeepEqual(now, last) {
				last = now
				signal(changed)
			}
		}
	}()
	return changed
}

// signal leaves a value in a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
