package simulate

import (
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/netsim"
)

// attach draws the boxes of a preset. The link of the file is the one above the outermost.
func (w *world) attach(low, up *node, l *scenario.Link) error {
	p, err := netsim.PresetByName(low.Preset)
	if err != nil {
		return err
	}
	s, err := p.Attach(w.net, low.Name, up.inner, l.Config, l.Addrs...)
	if err != nil {
		return err
	}
	low.upper, low.inner, low.boxes = s.Boxes[0], s.Inner, s.Boxes
	w.setLink(l.Name, l.From, s.Links[0], l.Config)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hidden = append(w.hidden, s.Links[1:]...)
	return nil
}
