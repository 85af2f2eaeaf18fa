package simulate

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// changes are the steps that change the network. Each runs on the network's own goroutine, among
// the packets of its instant in the same order each time; what it returns, if that is not
// nil, undoes it after the step's For.
var changes = map[scenario.Action]func(w *world, s *scenario.Step) (undo func(), err error){
	scenario.DoCut:    (*world).cut,
	scenario.DoMend:   (*world).mend,
	scenario.DoSet:    (*world).set,
	scenario.DoReboot: (*world).reboot,
	scenario.DoMove:   (*world).move,
	scenario.DoAdd:    (*world).add,
	scenario.DoRemove: (*world).remove,
}

// schedule puts a change into the network's schedule, for its time or for now, and returns a
// function that waits until it is done, and undone if it is to be.
func (w *world) schedule(ctx context.Context, s *scenario.Step, change func(*world, *scenario.Step) (func(), error)) func() error {
	at := w.net.Now()
	if s.Timed {
		at = max(at, w.began+s.At)
	}
	done := make(chan error, 1)
	w.net.At(at, func() {
		undo, err := change(w, s)
		if err != nil || s.For == 0 || s.Do == scenario.DoReboot {
			done <- err
			return
		}
		w.net.At(at+s.For, func() {
			undo()
			done <- nil
		})
	})
	return func() error {
		select {
		case err := <-done:
			if err == nil && s.Do == scenario.DoReboot {
				err = sleep(ctx, s.For)
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// cut cuts a link.
func (w *world) cut(s *scenario.Step) (undo func(), err error) {
	l, err := w.link(s.Target)
	if err != nil {
		return nil, err
	}
	l.SetDown(true)
	return func() { l.SetDown(false) }, nil
}

// mend mends a link.
func (w *world) mend(s *scenario.Step) (undo func(), err error) {
	l, err := w.link(s.Target)
	if err == nil {
		l.SetDown(false)
	}
	return nil, err
}

// set changes what a link is like.
func (w *world) set(s *scenario.Step) (undo func(), err error) {
	l, err := w.link(s.Target)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	c := scenario.Override(w.configs[s.Target], s.Config, s.Changes)
	w.mu.Unlock()
	if err := l.Set(c); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.configs[s.Target] = c
	return nil, nil
}

// reboot restarts a node.
func (w *world) reboot(s *scenario.Step) (undo func(), err error) {
	n := w.nodes[s.Target]
	switch up := n.upper.(type) {
	case *netsim.Router:
		up.Reboot(s.For)
	case *netsim.Switch:
		up.Reboot(s.For)
	}
	for _, b := range n.boxes {
		b.Reboot(s.For)
	}
	return nil, nil
}

// move takes a host from its links, and joins it to another node.
func (w *world) move(s *scenario.Step) (undo func(), err error) {
	host, to := w.nodes[s.Target].host, w.nodes[s.To]
	for _, a := range host.Addrs() {
		if err := host.RemoveAddr(a); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	old := w.up[s.Target]
	w.mu.Unlock()
	for _, l := range old {
		l.SetDown(true)
	}
	link, err := w.net.Connect(host, to.inner, s.Config, s.Addrs...)
	if err == nil {
		w.setLink(s.Link, s.Target, link, s.Config)
	}
	return nil, err
}

// add gives a host addresses.
func (w *world) add(s *scenario.Step) (undo func(), err error) {
	var l *netsim.Link
	if s.Link != "" {
		if l, err = w.link(s.Link); err != nil {
			return nil, err
		}
	} else {
		w.mu.Lock()
		up := w.up[s.Target]
		w.mu.Unlock()
		if len(up) != 1 {
			return nil, errors.New("the host has several links: say which by 'link: …'")
		}
		l = up[0]
	}
	for _, a := range s.Addrs {
		if err := w.nodes[s.Target].host.AddAddr(l, a); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// remove takes addresses from a host.
func (w *world) remove(s *scenario.Step) (undo func(), err error) {
	for _, text := range s.Addrs {
		text, _, _ = strings.Cut(text, "/")
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, err
		}
		if err := w.nodes[s.Target].host.RemoveAddr(a); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
