package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/cmd/netsim/internal/simulate"
)

// zonesFile is the scenario of zones.
//
//go:embed zones.yaml
var zonesFile []byte

// firstZonePort is that of the first device, unless told otherwise.
const firstZonePort = 21000

// A zonesCommand is the command line of zones.
type zonesCommand struct {
	port   int
	asJSON bool
}

func newZones() *cobra.Command {
	var o zonesCommand
	c := &cobra.Command{
		Use:   "zones [FILE]",
		Short: "Keep the zones of two owners running, with a local port for each device",
		Long: `Run the zones of two owners, in real time, until you stop it: each has an OOD and a
laptop at home behind a NAT, and a phone behind a carrier's. Or run the network and
the devices of a scenario of yours; its steps are left out.

Each device has a TCP port on 127.0.0.1, at which HTTP reaches it:

  GET /                 how the device is, and whom it is connected to, in JSON
  GET /ping/NAME        have it ping another, by its name or its owner's
  /to/NAME/PATH         have it make a request to another's HTTP service, which
                        answers devices of the same owner alone
  /to/public.NAME/PATH  the same, of a service that answers everyone

The line 'ready NAME=ADDR …' on standard output says that all are served.`,
		Example: `  netsim zones
  curl http://127.0.0.1:21000/
  curl http://127.0.0.1:21002/ping/alice
  curl http://127.0.0.1:21002/to/alice-ood/hello
  curl http://127.0.0.1:21002/to/public.bob/hello

  netsim zones office.yaml --port 9000`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFiles,
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			return o.run(c, path)
		},
	}
	c.Flags().IntVar(&o.port, "port", firstZonePort, "TCP port of the first device; the others follow. 0: any that are free")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print one JSON object a device, and no other line")
	return c
}

// run is netsim zones.
func (o *zonesCommand) run(c *cobra.Command, path string) error {
	f, err := zonesScenario(path)
	if err != nil {
		return err
	}
	if o.port < 0 {
		return command.Usagef("--port %d: ports are from 0 on", o.port)
	}
	if o.port+len(f.Devices) > 1<<16 {
		return command.Usagef("--port %d: the ports of %d devices end at 65535", o.port, len(f.Devices))
	}
	ctx := c.Context()
	live, err := simulate.Open(ctx, f, simulate.Options{Logger: logger(c)})
	if err != nil {
		return adviseScenario(err)
	}
	defer live.Close()
	z := &zones{file: f, live: live}
	defer z.close()
	t := terminal.New(c.OutOrStdout(), os.Getenv)
	ready := "ready"
	for i := range f.Devices {
		port := 0
		if o.port > 0 {
			port = o.port + i
		}
		view, err := z.add(f.Devices[i], port)
		if err != nil {
			return command.Advise(err, "name other ports with --port")
		}
		ready += " " + view.Name + "=" + view.Addr
		if o.asJSON {
			if err := encode(c.OutOrStdout(), view); err != nil {
				return err
			}
			continue
		}
		t.Printf("%-14s %s  %s  %s\n", view.Name, t.Bold("http://"+view.Addr+"/"), view.ID, t.Faint(view.state()))
	}
	if !o.asJSON {
		t.Printf("%s\n", ready)
	}
	<-ctx.Done()
	return nil
}

// zonesScenario is the scenario that zones runs.
func zonesScenario(path string) (*scenario.File, error) {
	if path == "" {
		return scenario.Parse("zones.yaml", zonesFile)
	}
	f, err := loadScenario(path)
	if err != nil {
		return nil, err
	}
	for _, d := range f.Devices {
		if d.Count > 0 {
			return nil, command.Usagef("%s:%d: light devices have no ports", path, d.Line)
		}
	}
	if len(f.Devices) == 0 {
		return nil, command.Usagef("%s: there is no device in it", path)
	}
	return f, nil
}

// zones are running devices and their local servers.
type zones struct {
	file    *scenario.File
	live    *simulate.Live
	servers []*http.Server
	serving sync.WaitGroup
}

// add serves a device at a local port.
func (z *zones) add(d scenario.Device, port int) (*zoneView, error) {
	stack, ok := z.live.Stack(d.Name)
	if !ok {
		return nil, fmt.Errorf("%s does not run: it is stopped in the file", d.Name)
	}
	m := &member{zones: z, name: d.Name, owner: d.Owner, stack: stack}
	if err := m.offer(&z.serving); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	s := &http.Server{Handler: m.handler(), ReadHeaderTimeout: 10 * time.Second}
	z.servers = append(z.servers, s)
	z.serving.Go(func() { s.Serve(ln) }) // until it is closed
	m.addr = ln.Addr().String()
	return m.view(), nil
}

// close stops the local servers. The devices are closed first or afterwards: with them ends what
// they offer.
func (z *zones) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range z.servers {
		if err := s.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			s.Close()
		}
	}
	z.live.Close()
	z.serving.Wait()
}
