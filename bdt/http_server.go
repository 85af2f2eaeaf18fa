package bdt

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// What HTTPServer sets: the header of a request must come in time, and a stream
// on which none comes is closed.
const (
	httpHeaderTimeout = 10 * time.Second
	httpKeepAlive     = 2 * time.Minute
)

// HTTPServer returns a server of h for a [Listener], to which
// [ConnFromContext] tells who calls:
//
//	ln, err := stack.Listen(bdt.HTTPService, bdt.Everyone)
//	err = stack.HTTPServer(handler).Serve(ln)
//
// The fields may be changed before that. Any other http.Server will do, too: its
// requests have "ID/SERVICE" of the caller as RemoteAddr. Closing the stack ends
// what is being served; Shutdown of the server waits for it.
func (s *Stack) HTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ConnContext:       ConnContext,
		ReadHeaderTimeout: httpHeaderTimeout,
		IdleTimeout:       httpKeepAlive,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// connKey is the key of a *Conn in a context.
type connKey struct{}

// ConnContext has [ConnFromContext] find c: set it as the ConnContext of an
// http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*Conn)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, conn)
}

// ConnFromContext returns the stream of the request with a context: who calls,
// and what it may. The stream is the server's: it is not to be read, written or
// closed.
func ConnFromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}
