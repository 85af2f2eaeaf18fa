package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/sn"
)

// settings are the configuration: the file, over which the flags go. What is not in
// it has its default. The keys of the file are the names of the flags where there
// is one.
type settings struct {
	Key          string   `yaml:"key"`
	State        string   `yaml:"state"`
	Listen       []string `yaml:"listen"`
	Advertise    string   `yaml:"advertise"`
	STUNPort     int      `yaml:"stun-port"`
	PingInterval duration `yaml:"ping-interval"`
	Metrics      string   `yaml:"metrics"`
	Pprof        bool     `yaml:"pprof"`
	LogLevel     level    `yaml:"log-level"`
	LogFormat    format   `yaml:"log-format"`
	Limits       limits   `yaml:"limits"`
}

// limits are those of sn.Limits.
type limits struct {
	Devices    int `yaml:"devices"`
	PerNetwork int `yaml:"devices-per-network"`
	Handshakes int `yaml:"handshakes"`
	Pending    int `yaml:"pending-handshakes"`
	Objects    int `yaml:"objects"`
	Calls      int `yaml:"remembered-calls"`
	Pairs      int `yaml:"pairs"`
	Workers    int `yaml:"workers"`

	Call      rate `yaml:"calls-per-device"`
	Prefix    rate `yaml:"calls-per-network-and-callee"`
	Callee    rate `yaml:"calls-per-callee"`
	Network   rate `yaml:"calls-per-network"`
	Signal    rate `yaml:"signals-per-device"`
	Directory rate `yaml:"requests-per-device"`
	Lookups   rate `yaml:"requests-per-network"`
}

// A rate is a sn.Rate.
type rate struct {
	PerSecond int `yaml:"per-second"`
	Burst     int `yaml:"burst"`
}

// A level is a log level by its name.
type level slog.Level

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (l *level) UnmarshalYAML(n ast.Node) error { return setNode(l, n) }

// setNode sets a value from a scalar of the file. The error names the place.
func setNode(v interface{ Set(string) error }, n ast.Node) error {
	scalar, ok := n.(ast.ScalarNode)
	err := errors.New("not a word or a number")
	if ok {
		err = v.Set(fmt.Sprint(scalar.GetValue()))
	}
	if err != nil {
		at := n.GetToken().Position
		return fmt.Errorf("[%d:%d] %w", at.Line, at.Column, err)
	}
	return nil
}

// A duration is one as Go writes it.
type duration time.Duration

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *duration) UnmarshalYAML(n ast.Node) error { return setNode(d, n) }

// Set takes a duration with its unit.
func (d *duration) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration such as 25s", text)
	}
	*d = duration(v)
	return nil
}

// Set takes the name of a level, for flags.
func (l *level) Set(text string) error {
	if err := (*slog.Level)(l).UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("%q is not debug, info, warn or error", text)
	}
	return nil
}

func (l *level) String() string { return strings.ToLower(slog.Level(*l).String()) }
func (*level) Type() string     { return "LEVEL" }

// A format is how log lines look.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (f *format) UnmarshalYAML(n ast.Node) error { return setNode(f, n) }

// Set takes the name of a format, for flags.
func (f *format) Set(text string) error {
	switch v := format(text); v {
	case formatText, formatJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is not text or json", text)
}

func (f *format) String() string { return string(*f) }
func (*format) Type() string     { return "FORMAT" }

// parseSettings reads the text of a configuration file. Keys that it does not know
// are errors, which name the line.
func parseSettings(text []byte) (settings, error) {
	s := settings{LogFormat: formatText}
	// An empty document is no mapping; one of comments alone neither.
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		return settings{}, errors.New(strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if s.LogFormat == "" {
		s.LogFormat = formatText
	}
	return s, nil
}

// load returns the settings of the file that the command line names, if any, with
// the command line's over them. Paths of the file are relative to its directory.
func load(o options, flags *pflag.FlagSet) (settings, error) {
	s := settings{LogFormat: formatText}
	if o.config != "" {
		text, err := os.ReadFile(o.config)
		if err != nil {
			return settings{}, command.Advise(err, "name a file that you can read with --config FILE")
		}
		if s, err = parseSettings(text); err != nil {
			return settings{}, command.Advise(fmt.Errorf("%s: %w", o.config, err), "correct the file; deploy/sn.yaml has every key")
		}
		for _, p := range []*string{&s.Key, &s.State} {
			if *p != "" && *p != stateNone && !filepath.IsAbs(*p) {
				*p = filepath.Join(filepath.Dir(o.config), *p)
			}
		}
	}
	for name, set := range map[string]func(){
		"key":   func() { s.Key = o.key },
		"state": func() { s.State = o.state },
		"listen": func() {
			s.Listen = nil
			for _, a := range o.listen {
				s.Listen = append(s.Listen, a.String())
			}
		},
		"advertise":  func() { s.Advertise = o.advertise },
		"stun-port":  func() { s.STUNPort = o.stunPort },
		"metrics":    func() { s.Metrics = o.metrics },
		"pprof":      func() { s.Pprof = o.pprof },
		"log-level":  func() { s.LogLevel = o.logLevel },
		"log-format": func() { s.LogFormat = o.logFormat },
		"verbose":    func() { s.LogLevel = level(slog.LevelDebug) },
	} {
		if flags.Changed(name) {
			set()
		}
	}
	if s.Key == "" {
		var err error
		if s.Key, err = keyfile.Default("sn.pem"); err != nil {
			return settings{}, err
		}
	}
	switch s.State {
	case "":
		s.State = s.Key + ".state"
	case stateNone:
		s.State = ""
	}
	return s, nil
}

// server returns the settings as the server takes them, without its identity.
func (s *settings) server() (sn.Config, error) {
	c := sn.Config{
		Advertise:    s.Advertise,
		STUNPort:     s.STUNPort,
		State:        s.State,
		PingInterval: time.Duration(s.PingInterval),
		Limits: sn.Limits{
			Devices:    s.Limits.Devices,
			PerNetwork: s.Limits.PerNetwork,
			Handshakes: s.Limits.Handshakes,
			Pending:    s.Limits.Pending,
			Objects:    s.Limits.Objects,
			Calls:      s.Limits.Calls,
			Pairs:      s.Limits.Pairs,
			Workers:    s.Limits.Workers,
			Call:       sn.Rate(s.Limits.Call),
			Prefix:     sn.Rate(s.Limits.Prefix),
			Callee:     sn.Rate(s.Limits.Callee),
			Network:    sn.Rate(s.Limits.Network),
			Signal:     sn.Rate(s.Limits.Signal),
			Directory:  sn.Rate(s.Limits.Directory),
			Lookups:    sn.Rate(s.Limits.Lookups),
		},
	}
	var listen flagvalue.Listen
	for _, a := range s.Listen {
		if err := listen.Set(a); err != nil {
			return sn.Config{}, fmt.Errorf("listen: %w", err)
		}
	}
	c.Listen = listen
	return c, nil
}
