// Command bdt-pn is a proxy node: it relays between devices that cannot reach each other.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/pn"
)

func main() { os.Exit(run()) }

func run() int { return command.Main(newCommand()) }

// options are the command line.
type options struct {
	config    string
	key       string
	listen    flagvalue.Listen
	sockets   int
	advertise string
	open      bool
	tokens    bool
	allow     flagvalue.IDs
	owners    []string
	drain     time.Duration
	metrics   string
	pprof     bool
	logLevel  operator.Level
	logFormat operator.Format
	verbose   bool
}

func newCommand() *cobra.Command {
	o := options{logFormat: operator.FormatText}
	c := &cobra.Command{
		Use:   "bdt-pn",
		Short: "Run a proxy node, which relays between devices that cannot reach each other",
		Long: `Run a proxy node (PN). Two devices that both ask for it exchange packets through
it. It cannot read them; it knows who answers for the traffic, and admits
nobody unless told whom: with --open, --allow, --allow-zone or --tokens.

The key is the PN's identity: it is made on first use, and whoever has lost it
has to give all devices a new reference. The line

  ready id=ID listen=ADDR,… ref=ID@HOST:PORT [metrics=ADDR]

on standard output says that it serves; the ref is how devices find it.
Logs go to standard error. SIGTERM and SIGINT tell the devices to move, and stop
it when the last of them has, or after --drain; a second one stops it at once.
SIGHUP has it read the configuration file again. Flags go over the file.`,
		Example: `  # A test on this machine alone
  bdt-pn --key pn.pem --listen 127.0.0.1:8444 --open

  # A relay for the devices of one owner, behind the name pn.example
  bdt-pn --key /var/lib/bdt/pn.pem --advertise pn.example:8444 --allow-zone owner.pub

  # All of it from a file, of which deploy/pn.yaml is an example
  bdt-pn --config /etc/bdt/pn.yaml

  # A token with which a device may use a PN that runs with --tokens
  bdt-pn token --key /var/lib/bdt/pn.pem --for ID --valid 720h`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` (YAML), read again at SIGHUP")
	f.StringVar(&o.key, "key", "", "key `FILE`, made if there is none (default: bdt/pn.pem in your configuration directory)")
	f.Var(&o.listen, "listen", fmt.Sprintf("UDP address to serve, IP:PORT or :PORT; may be repeated (default :%d)", pn.DefaultPort))
	f.IntVar(&o.sockets, "sockets", 0, "`NUMBER` of sockets of each address, read by as many threads (default: one for each processor)")
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` where devices reach this server (default: an address of this machine)")
	f.BoolVar(&o.open, "open", false, "admit every device")
	f.Var(&o.allow, "allow", "admit the device with this `ID`; may be repeated")
	f.StringArrayVar(&o.owners, "allow-zone", nil, "admit the devices of the owner in this public `FILE`; may be repeated")
	f.BoolVar(&o.tokens, "tokens", false, "admit devices that have a token of this PN's: see 'bdt-pn token'")
	f.DurationVar(&o.drain, "drain", defaultDrain, "how long devices have to move when the PN is to stop: `DURATION`")
	f.StringVar(&o.metrics, "metrics", "", "`IP:PORT` for HTTP: /metrics, /healthz, /readyz; on loopback also /debug/pprof (default: none)")
	f.BoolVar(&o.pprof, "pprof", false, "serve /debug/pprof on --metrics, whoever can reach it")
	f.Var(&o.logLevel, "log-level", "log from this `LEVEL` on: debug, info, warn, error (default info)")
	f.Var(&o.logFormat, "log-format", "how log lines look: text or json")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more: --log-level debug")
	c.AddCommand(newTokenCommand())
	return c
}
