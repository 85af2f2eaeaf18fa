package operator

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"github.com/bdtnet/bdt/cmd/internal/command"
)

// An Admin is the HTTP listener for the operator: /metrics, /healthz, /readyz, and
// /debug/pprof where that is safe or asked for.
type Admin struct {
	listener net.Listener
	server   *http.Server
	ready    atomic.Bool
	done     chan struct{} // closed when the server has returned
}

// maxAdminConns bounds the connections to the listener; the next ones wait. An idle one
// ends after a minute.
const maxAdminConns = 128

// NewAdmin listens on an address, and serves the metrics of a registry until Close. It shows
// profiles on loopback, and elsewhere if asked to.
func NewAdmin(addr string, registry *prometheus.Registry, profile bool, log *slog.Logger) (*Admin, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, command.Advise(fmt.Errorf("metrics: %w", err), "choose another address with --metrics IP:PORT")
	}
	a := &Admin{listener: l, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !a.ready.Load() {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "serving")
	})
	if tcp, ok := l.Addr().(*net.TCPAddr); profile || ok && tcp.IP.IsLoopback() {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	a.server = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(netutil.LimitListener(l, maxAdminConns)) // until Close
	}()
	return a, nil
}

// Close stops listening, and waits a second for answers under way.
func (a *Admin) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		a.server.Close()
	}
	<-a.done
}

// Addr returns where it listens.
func (a *Admin) Addr() net.Addr { return a.listener.Addr() }

// SetReady says whether the server serves, for /readyz.
func (a *Admin) SetReady(ready bool) { a.ready.Store(ready) }
