// Command bdt-sn is a super node: it helps devices to find each other.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/sn"
)

func main() { os.Exit(run()) }

func run() int { return command.Main(newCommand()) }

// options are the command line.
type options struct {
	config    string
	key       string
	state     string
	listen    flagvalue.Listen
	advertise string
	stunPort  int
	metrics   string
	pprof     bool
	logLevel  operator.Level
	logFormat operator.Format
	verbose   bool
}

func newCommand() *cobra.Command {
	o := options{logFormat: operator.FormatText}
	c := &cobra.Command{
		Use:   "bdt-sn",
		Short: "Run a super node, which helps devices to find each other",
		Long: `Run a super node (SN). Devices register with it, and it introduces those that
call each other. It never sees what they say.

The key is the SN's identity: it is made on first use, and whoever has lost it
has to give all devices a new reference. The line

  ready id=ID listen=ADDR,… ref=ID@HOST:PORT [metrics=ADDR]

on standard output says that it serves; the ref is what devices take as --sn.
Logs go to standard error. SIGTERM and SIGINT stop it: what it knows of its devices
is kept in the state file, or they are told if there is none. SIGHUP has it read the
configuration file again. Flags go over the file.`,
		Example: `  # A test on this machine alone
  bdt-sn --key sn.pem --listen 127.0.0.1:8443

  # A server behind the name sn.example, with metrics for this machine
  bdt-sn --key /var/lib/bdt/sn.pem --advertise sn.example:8443 --metrics 127.0.0.1:9443

  # All of it from a file, of which deploy/sn.yaml is an example
  bdt-sn --config /etc/bdt/sn.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return serve(c, o) },
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "configuration `FILE` (YAML), read again at SIGHUP")
	f.StringVar(&o.key, "key", "", "key `FILE`, made if there is none (default: bdt/sn.pem in your configuration directory)")
	f.StringVar(&o.state, "state", "", "`FILE` in which devices outlive a restart, made if there is none; none: keep nothing (default: the key's name with .state)")
	f.Var(&o.listen, "listen", fmt.Sprintf("UDP address to serve, IP:PORT or :PORT; may be repeated (default :%d)", sn.DefaultPort))
	f.StringVar(&o.advertise, "advertise", "", "`HOST:PORT` where devices reach this server (default: an address of this machine)")
	f.IntVar(&o.stunPort, "stun-port", 0, "second `PORT` of each address, for devices that examine their NAT; -1: none (default: the next one)")
	f.StringVar(&o.metrics, "metrics", "", "`IP:PORT` for HTTP: /metrics, /healthz, /readyz; on loopback also /debug/pprof (default: none)")
	f.BoolVar(&o.pprof, "pprof", false, "serve /debug/pprof on --metrics, whoever can reach it")
	f.Var(&o.logLevel, "log-level", "log from this `LEVEL` on: debug, info, warn, error (default info)")
	f.Var(&o.logFormat, "log-format", "how log lines look: text or json")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log more: --log-level debug")
	return c
}
