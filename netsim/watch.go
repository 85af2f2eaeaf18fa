package netsim

import "context"

// Watch implements [underlay.Network]: it tells of addresses that the host gains
// or loses, and of its own links that are cut or mended.
func (h *Host) Watch(ctx context.Context) (<-chan struct{}, error) {
	changed := make(chan struct{}, 1)
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if h.watchers == nil {
		h.watchers = make(map[chan struct{}]struct{})
	}
	h.watchers[changed] = struct{}{}
	context.AfterFunc(ctx, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		delete(h.watchers, changed)
		close(changed)
	})
	return changed, nil
}

// changed tells who watches.
func (h *Host) changed() {
	for c := range h.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
