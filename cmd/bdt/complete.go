package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/daemon"
)

// completeTimeout bounds the time that completion takes: somebody waits at a prompt.
const completeTimeout = 500 * time.Millisecond

// completePeers completes the id of a device by those that running devices have to do
// with.
func completePeers(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return peerIDs(c.Context()), cobra.ShellCompDirectiveNoFileComp
}

// peerIDs returns the peers of running devices, with their names.
func peerIDs(ctx context.Context) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completeTimeout)
	defer cancel()
	var list []string
	for _, d := range daemon.Running(ctx) {
		peers, _ := d.Peers(ctx)
		for _, p := range peers {
			text := p.ID.String()
			if p.Name != "" {
				text += "\t" + printable(p.Name)
			}
			list = append(list, text)
		}
		d.Close()
	}
	return list
}
