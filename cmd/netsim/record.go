package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/netsim/internal/pcap"
	"github.com/bdtnet/bdt/cmd/netsim/internal/report"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/sequence"
	"github.com/bdtnet/bdt/netsim"
)

// maxCaptures bounds the packets that are kept for diagrams, those of a run that comes first.
const maxCaptures = 1 << 18

// A recorder captures runs: all to a file, and the first for diagrams.
type recorder struct {
	out      *pcapFile
	keep     bool
	captures []netsim.Capture
}

// newRecorder returns a recorder to a file, if its name is not empty, and for diagrams if keep says
// so.
func newRecorder(file string, keep bool) (*recorder, error) {
	out, err := newPcapFile(file)
	return &recorder{out: out, keep: keep}, err
}

// setup returns what is to be called with the network of a run, the i-th of n; nil if nothing is.
func (r *recorder) setup(i, n int) func(*netsim.Network) {
	keep := r.keep && i == 0
	if r.out.file == nil && !keep {
		return nil
	}
	name := ""
	if n > 1 {
		name = fmt.Sprintf("run %d", i+1)
	}
	return func(network *netsim.Network) {
		add := r.out.begin(name, network)
		network.Capture(func(c netsim.Capture) {
			add(c)
			if keep && len(r.captures) < maxCaptures {
				r.captures = append(r.captures, c)
			}
		})
	}
}

// close finishes the file.
func (r *recorder) close() error { return r.out.close() }

// A recording is a run of a scenario with its packets.
type recording struct {
	file     *scenario.File
	result   *scenario.Result
	captures []netsim.Capture
}

// record runs a scenario and keeps its packets. file is a capture to write; empty: none.
func record(c *cobra.Command, f *scenario.File, seed uint64, file string) (*recording, error) {
	rec, err := newRecorder(file, true)
	if err != nil {
		return nil, err
	}
	m := newMeter(c, "  steps", int64(len(f.Steps)))
	result, err := simulateOnce(c, f, seed, m, rec.setup(0, 1))
	m.close()
	if err = errors.Join(err, rec.close()); err != nil {
		return nil, err
	}
	return &recording{f, result, rec.captures}, nil
}

// meets reports whether a step has one device reach another.
func meets(s *scenario.Step) bool {
	switch s.Do {
	case scenario.DoDial, scenario.DoCall, scenario.DoPing, scenario.DoTransfer:
		return true
	}
	return false
}

// maxShown is how many steps the page about a run draws packet by packet.
const maxShown = 6

// report writes the page about a run to a directory. It draws the first steps that have
// devices meet.
func (r *recording) report(dir, command string) error {
	var cases []report.Case
	for i := range r.file.Steps {
		if o := r.result.Steps[i]; meets(&r.file.Steps[i]) && len(cases) < maxShown {
			cases = append(cases, report.Case{Title: o.Text, Text: saidOf(o), Diagram: r.diagram(i, shownRows)})
		}
	}
	page, err := report.Scenario(r.file, r.result, cases, command)
	if err != nil {
		return err
	}
	return writeReport(dir, page)
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
		return nil, adviseCapture(err)
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
		return adviseCapture(err)
	}
	return nil
}

// adviseCapture is an error of the file of a capture.
func adviseCapture(err error) error {
	advice := "name a file that you may write to: --pcap FILE"
	if errors.Is(err, syscall.ENOSPC) {
		advice = "make room, or name a file where there is some: --pcap FILE; what is there now is cut short"
	}
	return command.Advise(fmt.Errorf("write capture: %w", err), "%s", advice)
}
