package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/bench"
	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/config"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
)

// settings are all that flags, environment and configuration file can say of a
// device. What is said of one call, such as how many pings, is a flag alone.
var settings = config.Table{
	{Name: "key", Usage: "key `FILE` of the device (default for up: bdt/device.pem in your configuration directory, made on first use; for others: that of the running 'bdt up', else a fresh identity for this once)",
		New: text, Path: inDir},
	{Name: "owner", Usage: "`FILE` of the zone's owner, with or without its secret (default: what is known of it since 'bdt zone join')",
		New: text, Path: inDir},
	{Name: "friend", Usage: "`ID` of a device or an owner whom --allow friends admits; may be repeated",
		New: func() pflag.Value { return new(flagvalue.IDs) }, Many: true},
	{Name: "sn", Usage: "super node, ID@HOST:PORT; may be repeated (default: those of the ticket)",
		New: func() pflag.Value { return new(flagvalue.Refs) }, Many: true},
	{Name: "pn", Usage: "proxy node to be relayed by while there is no direct way, ID@HOST:PORT; may be repeated",
		New: func() pflag.Value { return new(flagvalue.Refs) }, Many: true},
	{Name: "pn-token", Usage: "`TOKEN` that a proxy node has given this device; may be repeated",
		New: func() pflag.Value { return new(flagvalue.RelayTokens) }, Many: true},
	{Name: "listen", Usage: "local UDP address, IP:PORT or :PORT; may be repeated (default: any)",
		New: func() pflag.Value { return new(flagvalue.Listen) }, Many: true},
	{Name: "endpoint", Usage: "public address at which this device can be reached; may be repeated",
		New: func() pflag.Value { return new(flagvalue.Endpoints) }, Many: true},
	{Name: "visible", Usage: "to whom super nodes may show this device's addresses: everyone, zone, nobody (default everyone)",
		New: func() pflag.Value { return new(flagvalue.Visibility) }},
	{Name: "no-lan", Usage: "neither look for devices on the local network nor be found there",
		New: func() pflag.Value { return new(flagvalue.Switch) }},
	{Name: "keepalive", Usage: "`DURATION` between the packets that keep a NAT's mapping (default: learned, beginning at 25s)",
		New: func() pflag.Value { return new(flagvalue.Duration) }},
	{Name: "serve", Usage: "built-in `SERVICE` to offer: echo, bench, none; may be repeated (default echo)",
		New: func() pflag.Value { return builtin() }, Many: true},
	{Name: "expose", Usage: "offer a local server, `NAME=HOST:PORT` or NAME=unix:PATH; may be repeated",
		New: func() pflag.Value { return new(flagvalue.Exposes) }, Many: true, Named: true},
	{Name: "serve-dir", Usage: "offer the files of a directory over HTTP, `NAME=DIR`; may be repeated",
		New: func() pflag.Value { return new(flagvalue.Dirs) }, Many: true, Named: true, Path: namedInDir},
	{Name: "allow", Usage: "who may use a service, or all of them, `[SERVICE=]WHO,…`; may be repeated",
		New: func() pflag.Value { return new(flagvalue.Policies) }, Many: true, Named: true},
	{Name: "keep", Usage: "stay when another process takes over this key at the super nodes",
		New: func() pflag.Value { return new(flagvalue.Switch) }},
	{Name: "verbose", Short: "v", Usage: "log to standard error what happens",
		New: func() pflag.Value { return new(flagvalue.Switch) }},
}

func text() pflag.Value { return new(flagvalue.Text) }

// noService stands for the empty list of built-in services.
const noService = "none"

func builtin() *flagvalue.Choices {
	return &flagvalue.Choices{From: []string{bdt.EchoService, bench.Service, noService}}
}

// inDir is a name in a configuration file that lies in dir.
func inDir(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// namedInDir is inDir of the value in NAME=VALUE.
func namedInDir(dir, s string) string {
	name, value, ok := strings.Cut(s, "=")
	if !ok || value == "" {
		return s // which will be refused
	}
	return name + "=" + inDir(dir, value)
}

// variableConfig is --config in the environment.
const variableConfig = config.Prefix + "CONFIG"

// configure adds the flags that say where settings come from, and has every command
// below root take its settings from there before it runs.
func configure(root *cobra.Command) {
	f := root.PersistentFlags()
	f.String("config", "", "configuration `FILE` (default: bdt/config.yaml in your configuration directory, if it is there)")
	settings.Flag(f, "verbose", new(flagvalue.Switch))
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		_, err := applySettings(c)
		return err
	}
}

// An effective is what the settings of a command are.
type effective struct {
	file    *config.File
	entries []config.Entry
}

// applySettings gives a command's settings their values. An error is one of usage: where
// they come from, something is wrong.
func applySettings(c *cobra.Command) (effective, error) {
	file, err := loadConfig(c)
	if err != nil {
		return effective{}, &command.UsageError{Err: err}
	}
	entries, err := settings.Apply(c.Flags(), os.LookupEnv, file)
	if err != nil {
		return effective{}, &command.UsageError{Err: command.Advise(err, "'bdt config --help' shows how settings are written")}
	}
	return effective{file, entries}, nil
}

// loadConfig reads the configuration file that flags or environment name, or else
// the usual one if it is there.
func loadConfig(c *cobra.Command) (*config.File, error) {
	path, source := os.Getenv(variableConfig), variableConfig
	if f := c.Flags().Lookup("config"); f != nil && f.Changed {
		path, source = f.Value.String(), "--config"
	}
	if path != "" {
		file, err := settings.Load(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, command.Advise(fmt.Errorf("%s: there is no file %s", source, path), "check the name, or make the file: 'bdt config --help' shows what goes into it")
		}
		return file, adviseConfig(err)
	}
	path, err := keyfile.Default(configFile)
	if err != nil {
		return nil, nil // no directory, no file
	}
	file, err := settings.LoadDefault(path)
	return file, adviseConfig(err)
}

// configFile is the usual configuration file's name.
const configFile = "config.yaml"

func adviseConfig(err error) error {
	return command.Advise(err, "mend that line: 'bdt config --help' shows how settings are written")
}
