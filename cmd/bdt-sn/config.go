package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/sn"
)

// settings are the configuration: the file, over which the flags go. What is not in
// it has its default. The keys of the file are the names of the flags where there
// is one.
type settings struct {
	Key          string            `yaml:"key"`
	State        string            `yaml:"state"`
	Listen       []string          `yaml:"listen"`
	Advertise    string            `yaml:"advertise"`
	STUNPort     int               `yaml:"stun-port"`
	PingInterval operator.Duration `yaml:"ping-interval"`
	Metrics      string            `yaml:"metrics"`
	Pprof        bool              `yaml:"pprof"`
	LogLevel     operator.Level    `yaml:"log-level"`
	LogFormat    operator.Format   `yaml:"log-format"`
	Limits       limits            `yaml:"limits"`
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

// parseSettings reads the text of a configuration file. Keys that it does not know
// are errors, which name the line.
func parseSettings(text []byte) (settings, error) {
	s := settings{LogFormat: operator.FormatText}
	if err := operator.Parse(text, &s); err != nil {
		return settings{}, err
	}
	if s.LogFormat == "" {
		s.LogFormat = operator.FormatText
	}
	return s, nil
}

// load returns the settings of the file that the command line names, if any, with
// the command line's over them. Paths of the file are relative to its directory.
func load(o options, flags *pflag.FlagSet) (settings, error) {
	s := settings{LogFormat: operator.FormatText}
	if o.config != "" {
		var err error
		if s, err = operator.ReadFile(o.config, "deploy/sn.yaml", parseSettings); err != nil {
			return settings{}, err
		}
		operator.Relative(o.config, &s.Key)
		if s.State != stateNone {
			operator.Relative(o.config, &s.State)
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
		"verbose":    func() { s.LogLevel = operator.Level(slog.LevelDebug) },
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
