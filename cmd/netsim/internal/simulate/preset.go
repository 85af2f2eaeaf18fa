package simulate

import (
	"fmt"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// attach draws the boxes of a preset.
func (w *world) attach(low, up *node, l *scenario.Link) error {
	return fmt.Errorf("no preset %s", low.Preset)
}
