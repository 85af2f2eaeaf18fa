package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/sn"
)

// The super node of 'bench sn' is a process of its own, the same program once more, so
// that its processor time and memory are no one else's. It says on standard output that
// it is ready, answers each line on standard input with a measurement, and ends
// when that is closed: it does not outlive the bench.

// A serveSN is the command line of that process.
type serveSN struct {
	key, state string
	listen     flagvalue.Listen
}

func newServeSN() *cobra.Command {
	var o serveSN
	c := &cobra.Command{
		Use:    "sn-serve",
		Short:  "Be the super node that 'bench sn' loads",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(c *cobra.Command, _ []string) error { return o.run(c) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key `FILE`")
	f.StringVar(&o.state, "state", "", "state `FILE`")
	f.Var(&o.listen, "listen", "UDP address to serve")
	return c
}

// unlimited is for rates: all devices of a bench come from a few addresses and
// do in seconds what others do in hours.
var unlimited = sn.Rate{PerSecond: -1}

// run serves until standard input or the context ends.
func (o *serveSN) run(c *cobra.Command) error {
	local, _, err := keyfile.LoadOrMake(o.key)
	if err != nil {
		return err
	}
	server, err := sn.Open(sn.Config{
		Local:    local,
		Listen:   o.listen,
		STUNPort: -1,
		State:    o.state,
		Limits: sn.Limits{
			Call: unlimited, Prefix: unlimited, Callee: unlimited, Network: unlimited, Directory: unlimited, Lookups: unlimited,
			PerNetwork: 1 << 20, Pending: 1 << 21, Calls: 1 << 21, // all of it comes from one address
		},
		Logger: logger(c),
	})
	if err != nil {
		return err
	}
	defer server.Close()
	out := json.NewEncoder(c.OutOrStdout())
	fmt.Fprintln(c.OutOrStdout(), server.Ref())
	lines := make(chan struct{})
	go func() { // ends with the process
		defer close(lines)
		for in := bufio.NewScanner(c.InOrStdin()); in.Scan(); {
			lines <- struct{}{}
		}
	}()
	var m meter
	for {
		select {
		case _, ok := <-lines:
			if !ok {
				return nil
			}
			if err := out.Encode(m.measure(server)); err != nil {
				return err
			}
		case <-c.Context().Done():
			return nil
		}
	}
}

// An snUsage is what a super node has used and holds.
type snUsage struct {
	CPU  time.Duration `json:"cpu"`  // since the start of the process
	Heap int64         `json:"heap"` // bytes that are in use, after a collection; 0: unknown
	RSS  int64         `json:"rss"`  // bytes resident; 0: unknown
	sn.Stats
}

// A meter measures this process. What measuring takes is not counted.
type meter struct{ own time.Duration }

func (m *meter) measure(s *sn.Server) snUsage {
	began := cpuTime()
	u := snUsage{CPU: began - m.own, Stats: s.Stats()}
	runtime.GC()
	runtime.GC() // what finalizers free takes two
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	u.Heap = int64(mem.HeapAlloc)
	if _, rss, err := processUsage(os.Getpid()); err == nil {
		u.RSS = rss
	}
	m.own += cpuTime() - began
	return u
}

// A childSN is the super node's process, as the bench sees it.
type childSN struct {
	Ref   identity.Ref
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	ended chan struct{} // closed when the process has ended
}

// errSNEnded is when the super node has ended and was not told to.
var errSNEnded = errors.New("the super node of the bench has ended")

// startChild starts a super node on an address of this machine, with its files in a directory.
func startChild(c *cobra.Command, dir string, listen netip.AddrPort) (*childSN, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &childSN{cmd: exec.Command(program), ended: make(chan struct{})}
	s.cmd.Args = []string{os.Args[0], "bench", "sn-serve", "--key", filepath.Join(dir, "sn.pem"),
		"--state", filepath.Join(dir, "sn.state"), "--listen", listen.String()}
	if verbose, _ := c.Flags().GetBool("verbose"); verbose {
		s.cmd.Args = append(s.cmd.Args, "-v")
	}
	s.cmd.Stderr = c.ErrOrStderr()
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop waits for
		s.cmd.Wait() // its status is of no interest
		close(s.ended)
	}()
	line, err := s.out.ReadString('\n')
	if err == nil {
		s.Ref, err = identity.ParseRef(strings.TrimSpace(line))
	}
	if err != nil {
		s.stop(os.Kill)
		return nil, fmt.Errorf("the super node does not start: %w", err)
	}
	return s, nil
}

// measure asks the super node.
func (s *childSN) measure() (u snUsage, err error) {
	if _, err := io.WriteString(s.in, "\n"); err != nil {
		return u, fmt.Errorf("%w: %w", errSNEnded, err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return u, fmt.Errorf("%w: %w", errSNEnded, err)
	}
	return u, json.Unmarshal(line, &u)
}

// stop ends the process by a signal, if it has not ended, and waits for it.
func (s *childSN) stop(sig os.Signal) error {
	err := s.cmd.Process.Signal(sig)
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		<-s.ended
		return nil
	}
	return fmt.Errorf("stopping the super node: %w", err)
}

// during returns a context that ends with the process, too, and a function to
// call when it is no longer needed.
func (s *childSN) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() { // ends with the context or the process
		defer close(watched)
		select {
		case <-s.ended:
			cancel(errSNEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-watched
	}
}
