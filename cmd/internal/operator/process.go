package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/identity"
)

// NewLogger returns a logger of a format whose level can be changed.
func NewLogger(w io.Writer, f Format, level *slog.LevelVar) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if f == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// Hangups returns a channel of the SIGHUPs that come from now until stop.
func Hangups() (hangups <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// Ready writes the line that says that a server serves, and tells the listener for metrics,
// which may be nil.
func Ready(w io.Writer, addrs []netip.AddrPort, ref identity.Ref, a *Admin) error {
	listen := flagvalue.Listen(addrs)
	ready := fmt.Sprintf("ready id=%s listen=%s ref=%s", ref.ID, listen.String(), ref)
	if a != nil {
		a.SetReady(true)
		ready += " metrics=" + a.Addr().String()
	}
	_, err := fmt.Fprintln(w, ready)
	return err
}

// Wait calls reload at each hangup, until the context ends.
func Wait(ctx context.Context, hangups <-chan os.Signal, reload func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			reload()
		}
	}
}

// Stop closes a server, and gives up when that takes longer than limit; lost says what may
// be missing then.
func Stop(close func() error, limit time.Duration, lost string) error {
	done := make(chan error, 1)
	go func() { done <- close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errors.New("the server does not stop" + lost)
	}
}

// Reload reads the configuration again, with change, which returns what wants a restart, and
// logs what comes of it, with where the server is reached then. A file that is wrong changes
// nothing.
func Reload(log *slog.Logger, config string, change func() (restart []string, err error), ref func() identity.Ref) {
	if config == "" {
		log.Warn("there is no configuration file to read again: none was named with --config")
		return
	}
	restart, err := change()
	if err != nil {
		log.Error("cannot read the configuration again: going on as before", "err", err)
		return
	}
	log.Info("read the configuration again", "file", config, "ref", ref().String())
	if len(restart) > 0 {
		log.Warn("some changes take effect at the next start only", "changed", restart)
	}
}
