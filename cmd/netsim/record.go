package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/netsim/internal/pcap"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
	"github.com/bdtnet/bdt/cmd/netsim/internal/virtual"
	"github.com/bdtnet/bdt/netsim"
)

// maxCaptures bounds what a recording holds; explain has no use for more.
const maxCaptures = 1 << 18

// A recording is a run of a scenario with all its packets.
type recording struct {
	file     *scenario.File
	result   *scenario.Result
	captures []netsim.Capture
}

// record runs a scenario and keeps its packets. file is a capture to write; empty: none.
func record(c *cobra.Command, f *scenario.File, seed uint64, file string) (*recording, error) {
	defer virtual.Seed(c.Context(), seed)()
	r := &recording{file: f}
	out, err := newPcapFile(file)
	if err != nil {
		return nil, err
	}
	err = virtual.Run(c.Context(), f.Path, func(ctx context.Context) (err error) {
		r.result, err = simulate.Run(ctx, f, simulate.Options{Seed: seed, Logger: logger(c), Setup: func(n *netsim.Network) {
			add := out.begin("", n)
			n.Capture(func(p netsim.Capture) {
				if len(r.captures) < maxCaptures {
					r.captures = append(r.captures, p)
				}
				add(p)
			})
		}})
		return err
	})
	if err = errors.Join(err, out.close()); err != nil {
		return nil, err
	}
	return r, nil
}

// diagram draws the packets of a step, until the first byte is answered; or until it is over, if
// none is.
func (r *recording) diagram(step, rows int) *sequence.Diagram {
	s, o := r.file.Steps[step], r.result.Steps[step]
	from := r.result.Began + o.Began
	length := o.Took
	if o.FirstByte > 0 {
		length = o.FirstByte
	}
	host := func(name string) string {
		if d, ok := r.file.Device(name); ok {
			return d.Host
		}
		return name
	}
	return sequence.New(r.captures, sequence.Options{
		Caller: host(s.From), Callee: host(s.To), SuperNode: superNodes(r.file),
		From: from, To: from + length, Rows: rows,
	})
}

// superNodes returns whether an address is one of a scenario's super nodes, as seen through a NAT64,
// too.
func superNodes(f *scenario.File) func(netip.Addr) bool {
	addrs := make(map[netip.Addr]bool)
	for _, s := range f.SuperNodes {
		for _, l := range f.Links {
			if l.From != s.Host {
				continue
			}
			for _, text := range l.Addrs {
				if p, err := netip.ParsePrefix(text); err == nil {
					addrs[p.Addr()] = true
				} else if a, err := netip.ParseAddr(text); err == nil {
					addrs[a] = true
				}
			}
		}
	}
	return func(a netip.Addr) bool {
		if b := a.As16(); netsim.NAT64.Prefix64.Contains(a) {
			a = netip.AddrFrom4([4]byte(b[12:]))
		}
		return addrs[a]
	}
}

// A pcapFile is a capture on its way to a file. The zero value writes none.
type pcapFile struct {
	file *os.File
	w    *pcap.Writer
}

// newPcapFile makes a file to capture to. An empty name is none.
func newPcapFile(name string) (*pcapFile, error) {
	if name == "" {
		return &pcapFile{}, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("write capture: %w", err)
	}
	return &pcapFile{f, pcap.NewWriter(f)}, nil
}

// begin begins the capture of a network, in whose bubble it is called, and returns what
// adds to it. Several may be captured at once.
func (p *pcapFile) begin(name string, n *netsim.Network) func(netsim.Capture) {
	if p.file == nil {
		return func(netsim.Capture) {}
	}
	return p.w.Network(name, time.Now().Add(-n.Now()))
}

// capture has a network captured, if there is a file.
func (p *pcapFile) capture(name string, n *netsim.Network) {
	if p.file != nil {
		n.Capture(p.begin(name, n))
	}
}

// close finishes the file.
func (p *pcapFile) close() error {
	if p.file == nil {
		return nil
	}
	if err := errors.Join(p.w.Flush(), p.file.Close()); err != nil {
		return fmt.Errorf("write capture: %w", err)
	}
	return nil
}
