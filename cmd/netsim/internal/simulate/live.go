package simulate

import (
	"context"
	"log/slog"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
)

// A Live is a scenario whose network and devices run until it is closed, without its
// steps. Outside of a bubble it runs in real time.
type Live struct{ w *world }

// Open starts the network, super nodes and devices of a scenario, and waits until the devices are
// online, or no longer than the scenario says.
func Open(ctx context.Context, f *scenario.File, o Options) (*Live, error) {
	if o.Seed == 0 {
		o.Seed = f.Seed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := newWorld(f, o)
	err := w.draw()
	if err == nil && o.Setup != nil {
		o.Setup(w.net)
	}
	if err == nil {
		err = w.start(ctx)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return &Live{w}, nil
}

// Stack returns a device, if it runs.
func (l *Live) Stack(name string) (*bdt.Stack, bool) {
	if l.w.devices[name] == nil {
		return nil, false
	}
	_, stack, err := l.w.running(name)
	return stack, err == nil
}

// Owner returns the id of an owner.
func (l *Live) Owner(name string) (identity.ID, bool) {
	o := l.w.owners[name]
	if o == nil {
		return identity.ID{}, false
	}
	return o.People.ID(), true
}

// Close stops all of it.
func (l *Live) Close() error {
	l.w.close()
	return nil
}
