package session

import (
	"context"
	"sync"

	"github.com/quic-go/quic-go"
)

const (
	// minSessionWindow is what every incoming session gets. It makes 10 Mbit/s at
	// 100 ms, of what the peer sends.
	minSessionWindow = 128 << 10
	// windowShare is the part of what is left that one incoming session may get.
	windowShare = 8
)

// windows are the receive windows of incoming sessions. Identities cost nothing, so
// who wants to fill our memory comes as many: together they get a budget, of which
// each new session takes at most an eighth of the rest. The first few dozen have all the
// window that a fast path needs, and whoever holds those leaves something to the next.
type windows struct {
	mu      sync.Mutex
	left    int // negative when all have the least
	pending int // taken by config for a connection that admit has not seen
}

// take returns the window of a new session, at most as large as asked.
func (w *windows) take(most int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(most, max(w.left/windowShare, minSessionWindow))
	w.left -= n
	return n
}

func (w *windows) give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
}

// configFor is quic-go's GetConfigForClient. It is called on the goroutine that then
// calls admit, unless it returns an error.
func (e *quicEngine) configFor(*quic.ClientInfo) (*quic.Config, error) {
	n := e.windows.take(int(e.config.MaxConnectionReceiveWindow))
	e.windows.pending = n
	if n == int(e.config.MaxConnectionReceiveWindow) {
		return e.config, nil
	}
	c := e.config.Clone()
	setWindows(c, int(c.MaxStreamReceiveWindow), n)
	return c, nil
}

// keepWindow has the window that configFor has taken given back when the
// connection is over.
func (e *quicEngine) keepWindow(connection context.Context) {
	n := e.windows.pending
	context.AfterFunc(connection, func() { e.windows.give(n) })
}

// setWindows sets the receive windows of a stream and of a session.
func setWindows(c *quic.Config, stream, session int) {
	stream = min(stream, session)
	c.InitialStreamReceiveWindow = uint64(min(initialStreamWindow, stream))
	c.MaxStreamReceiveWindow = uint64(stream)
	// The session's window is open from the start, so that it takes many stalled
	// streams (32) to stall the others.
	c.InitialConnectionReceiveWindow = uint64(session)
	c.MaxConnectionReceiveWindow = uint64(session)
}
