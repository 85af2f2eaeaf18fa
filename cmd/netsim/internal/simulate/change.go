package simulate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// cut cuts a link, and mends it after a while if it is to.
func (w *world) cut(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	l, err := w.link(s.Target)
	if err != nil {
		return err
	}
	l.SetDown(true)
	if s.For == 0 {
		return nil
	}
	defer l.SetDown(false)
	return sleep(ctx, s.For)
}

// mend mends a link.
func (w *world) mend(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	l, err := w.link(s.Target)
	if err == nil {
		l.SetDown(false)
	}
	return err
}

// reboot has a node forget what it knows, with its links cut for a while.
func (w *world) reboot(ctx context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	n := w.nodes[s.Target]
	var links []*netsim.Link
	for _, l := range w.file.Links {
		if l.From == n.Name || l.To == n.Name {
			if link, err := w.link(l.Name); err == nil {
				links = append(links, link)
			}
		}
	}
	down := func(down bool) {
		for _, l := range links {
			l.SetDown(down)
		}
	}
	if s.For > 0 {
		down(true)
		defer down(false)
	}
	for _, b := range n.boxes {
		b.Reset()
	}
	return sleep(ctx, s.For)
}

// move takes a host from its links, and joins it to another node.
func (w *world) move(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	host, to := w.nodes[s.Target].host, w.nodes[s.To]
	w.mu.Lock()
	var old []*netsim.Link
	for _, l := range w.links {
		if strings.HasPrefix(l.String(), host.Name()+"-") {
			old = append(old, l)
		}
	}
	w.mu.Unlock()
	for _, a := range host.Addrs() {
		if err := host.RemoveAddr(a); err != nil {
			return err
		}
	}
	for _, l := range old {
		l.SetDown(true)
	}
	link, err := w.net.Connect(host, to.inner, s.Config, s.Addrs...)
	if err == nil {
		w.setLink(s.Link, link)
	}
	return err
}

// add gives a host addresses.
func (w *world) add(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	name := s.Link
	if name == "" {
		for _, l := range w.file.Links {
			if l.From != s.Target {
				continue
			}
			if name != "" {
				return fmt.Errorf("%s has several links: say which", s.Target)
			}
			name = l.Name
		}
	}
	l, err := w.link(name)
	if err != nil {
		return err
	}
	for _, a := range s.Addrs {
		if err := w.nodes[s.Target].host.AddAddr(l, a); err != nil {
			return err
		}
	}
	return nil
}

// remove takes addresses from a host.
func (w *world) remove(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	for _, text := range s.Addrs {
		text, _, _ = strings.Cut(text, "/")
		a, err := netip.ParseAddr(text)
		if err != nil {
			return err
		}
		if err := w.nodes[s.Target].host.RemoveAddr(a); err != nil {
			return err
		}
	}
	return nil
}

// set changes what a link is like.
func (w *world) set(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	l, err := w.link(s.Target)
	if err != nil {
		return err
	}
	for _, key := range s.Changes {
		switch key {
		case "delay":
			l.SetDelay(s.Config.Delay)
		case "loss":
			l.SetLoss(s.Config.Loss)
		case "mtu":
			l.SetMTU(s.Config.MTU)
		default:
			return fmt.Errorf("%s of a link cannot be changed", key)
		}
	}
	return nil
}
