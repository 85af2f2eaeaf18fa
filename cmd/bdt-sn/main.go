// Command bdt-sn is a super node: it helps devices to find each other.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/sn"
)

func main() { os.Exit(run()) }

func run() int { return command.Main(newCommand()) }

// options are the command line.
type options struct {
	key       string
	state     string
	listen    flagvalue.Listen
	advertise string
	stunPort  int
	verbose   bool
}

func newCommand() *cobra.Command {
	var o options
	c := &cobra.Command{
		Use:   "bdt-sn",
		Short: "Run a super node, which helps devices to find each other",
		Long: `Run a super node (SN). Devices register with it, and it introduces those that
call each other. It never sees what they say.

The key is the SN's identity: it is made on first use, and whoever has lost it
has to give all devices a new reference. The line

  ready id=ID listen=ADDR,… ref=ID@HOST:PORT

on standard output says that it serves; the ref is what devices take as --sn.
Logs go to standard error. SIGTERM and SIGINT stop it.`,
		Example: `  # A test on this machine alone
  bdt-sn --key sn.pem --listen 127.0.0.1:8443

  # A server behind the name sn.example
  bdt-sn --key /var/lib/bdt/sn.pem --advertise sn.example:8443`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.key, "key", "", "key `FILE`, made if there is none (default: bdt/sn.pem in your configuration directory)")
	f.StringVar(&o.state, "state", "", "`FILE` in which devices outlive a restart, made if there is none; none: keep nothing (default: the key's name with .state)")
	f.Var(&o.listen, "listen", fmt.Sprintf("UDP address to serve, IP:PORT or :PORT; may be repeated (default :%d)", sn.DefaultPort))
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` where devices reach this server (default: an address of this machine)")
	f.IntVar(&o.stunPort, "stun-port", 0, "second `PORT` of each address, for devices that examine their NAT; -1: none (default: the next one)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more")
	return c
}

// serve runs the server until the context ends.
func serve(c *cobra.Command, o options) error {
	ctx := c.Context()
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	logger := command.Logger(c.ErrOrStderr(), level)
	if o.key == "" {
		var err error
		if o.key, err = keyfile.Default("sn.pem"); err != nil {
			return err
		}
	}
	local, made, err := keyfile.LoadOrMake(o.key)
	if err != nil {
		return err
	}
	if made {
		logger.Info("made a key file: keep a copy of it", "file", o.key)
	}
	server, err := sn.Open(sn.Config{Local: local, Listen: o.listen, Advertise: o.advertise, STUNPort: o.stunPort, State: stateFile(o), Logger: logger})
	if err != nil {
		return explain(err)
	}
	listen := flagvalue.Listen(server.Addrs())
	fmt.Fprintf(c.OutOrStdout(), "ready id=%s listen=%s ref=%s\n", local.Device.ID(), listen.String(), server.Ref())
	start := time.Now()
	<-ctx.Done()
	stats := server.Stats()
	logger.Info("stopping", "up", time.Since(start).Round(time.Second), "devices", stats.Devices,
		"registers", stats.Registers, "calls", stats.CallsMade)
	return server.Close()
}
