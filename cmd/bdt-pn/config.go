package main

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/cmd/internal/operator"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/pn"
)

// defaultDrain is how long devices have to move.
const defaultDrain = 30 * time.Second

// settings are the configuration: the file, over which the flags go. What is not in
// it has its default. The keys of the file are the names of the flags where there
// is one.
type settings struct {
	Key       string            `yaml:"key"`
	Listen    []string          `yaml:"listen"`
	Sockets   int               `yaml:"sockets"`
	Advertise string            `yaml:"advertise"`
	Admission admission         `yaml:"admission"`
	Idle      operator.Duration `yaml:"idle"`
	Drain     operator.Duration `yaml:"drain"`
	Metrics   string            `yaml:"metrics"`
	Pprof     bool              `yaml:"pprof"`
	LogLevel  operator.Level    `yaml:"log-level"`
	LogFormat operator.Format   `yaml:"log-format"`
	Limits    limits            `yaml:"limits"`
}

// admission is a pn.Admission, with the owners and issuers in files.
type admission struct {
	Open    bool     `yaml:"open"`
	Devices []string `yaml:"devices"`
	Zones   []string `yaml:"zones"`
	Tokens  bool     `yaml:"tokens"`
	Issuers []string `yaml:"token-issuers"`
}

// limits are those of pn.Limits.
type limits struct {
	Sessions   int `yaml:"sessions"`
	Pairs      int `yaml:"bindings"`
	PerSession int `yaml:"bindings-per-session"`
	Payers     int `yaml:"payers"`
	Handshakes int `yaml:"handshakes"`
	Workers    int `yaml:"workers"`

	Second struct {
		Pair  operator.Size `yaml:"binding"`
		Payer operator.Size `yaml:"payer"`
		Zone  operator.Size `yaml:"zone"`
		All   operator.Size `yaml:"all"`
	} `yaml:"bytes-per-second"`
	Day struct {
		Payer operator.Size `yaml:"payer"`
		Zone  operator.Size `yaml:"zone"`
	} `yaml:"bytes-per-day"`
}

// parseSettings reads the text of a configuration file. Keys that it does not know
// are errors, which name the line.
func parseSettings(text []byte) (settings, error) {
	s := settings{Drain: operator.Duration(defaultDrain)}
	if err := operator.Parse(text, &s); err != nil {
		return settings{}, err
	}
	return s, nil
}

// load returns the settings of the file that the command line names, if any, with
// the command line's over them. Paths of the file are relative to its directory.
func load(o options, flags *pflag.FlagSet) (s settings, err error) {
	s.Drain = operator.Duration(defaultDrain)
	if o.config != "" {
		if s, err = operator.ReadFile(o.config, "deploy/pn.yaml", parseSettings); err != nil {
			return settings{}, err
		}
		operator.Relative(o.config, &s.Key)
		for i := range s.Admission.Zones {
			operator.Relative(o.config, &s.Admission.Zones[i])
		}
		for i := range s.Admission.Issuers {
			operator.Relative(o.config, &s.Admission.Issuers[i])
		}
	}
	for name, set := range map[string]func(){
		"key": func() { s.Key = o.key },
		"listen": func() {
			s.Listen = nil
			for _, a := range o.listen {
				s.Listen = append(s.Listen, a.String())
			}
		},
		"sockets":   func() { s.Sockets = o.sockets },
		"advertise": func() { s.Advertise = o.advertise },
		"open":      func() { s.Admission.Open = o.open },
		"tokens":    func() { s.Admission.Tokens = o.tokens },
		"allow": func() {
			s.Admission.Devices = nil
			for _, id := range o.allow {
				s.Admission.Devices = append(s.Admission.Devices, id.String())
			}
		},
		"allow-zone": func() { s.Admission.Zones = o.owners },
		"drain":      func() { s.Drain = operator.Duration(o.drain) },
		"metrics":    func() { s.Metrics = o.metrics },
		"pprof":      func() { s.Pprof = o.pprof },
		"log-level":  func() { s.LogLevel = o.logLevel },
		"log-format": func() { s.LogFormat = o.logFormat },
	} {
		if flags.Changed(name) {
			set()
		}
	}
	if o.verbose {
		s.LogLevel = operator.Level(slog.LevelDebug)
	}
	if s.LogFormat == "" {
		s.LogFormat = operator.FormatText
	}
	if s.Key == "" {
		s.Key, err = keyfile.Default("pn.pem")
	}
	return s, err
}

// server returns the settings as the server takes them, without its identity.
func (s *settings) server() (pn.Config, error) {
	c := pn.Config{
		Advertise: s.Advertise,
		Sockets:   s.Sockets,
		Idle:      time.Duration(s.Idle),
		Limits: pn.Limits{
			Sessions:   s.Limits.Sessions,
			Pairs:      s.Limits.Pairs,
			PerSession: s.Limits.PerSession,
			Payers:     s.Limits.Payers,
			Handshakes: s.Limits.Handshakes,
			Workers:    s.Limits.Workers,
			Pair:       int64(s.Limits.Second.Pair),
			Payer:      int64(s.Limits.Second.Payer),
			Zone:       int64(s.Limits.Second.Zone),
			Bandwidth:  int64(s.Limits.Second.All),
			PayerDaily: int64(s.Limits.Day.Payer),
			ZoneDaily:  int64(s.Limits.Day.Zone),
		},
	}
	var listen flagvalue.Listen
	for _, a := range s.Listen {
		if err := listen.Set(a); err != nil {
			return pn.Config{}, command.Advise(fmt.Errorf("listen: %w", err), "an address is IP:PORT or :PORT")
		}
	}
	c.Listen = listen
	var err error
	c.Admission, err = s.Admission.load()
	return c, err
}

// load reads the files that an admission names.
func (a *admission) load() (pn.Admission, error) {
	out := pn.Admission{Open: a.Open, Tokens: a.Tokens}
	for _, text := range a.Devices {
		id, err := identity.ParseID(text)
		if err == nil && id.Type() != identity.TypeDevice {
			err = errors.New("it names no device")
		}
		if err != nil {
			return pn.Admission{}, command.Advise(fmt.Errorf("admitted device %q: %w", text, err), "give the id that 'bdt id show' prints; owners are admitted by --allow-zone FILE")
		}
		out.Devices = append(out.Devices, id)
	}
	for _, name := range a.Zones {
		o, err := public(name)
		if err != nil {
			return pn.Admission{}, err
		}
		owner, ok := o.(*identity.People)
		if !ok {
			return pn.Admission{}, command.Advise(fmt.Errorf("%s holds no owner", name), "name the public file of an owner; devices are admitted by --allow ID")
		}
		out.Owners = append(out.Owners, owner)
	}
	for _, name := range a.Issuers {
		o, err := public(name)
		if err != nil {
			return pn.Admission{}, err
		}
		switch o := o.(type) {
		case *identity.People:
			out.TokenKeys = append(out.TokenKeys, o.SigningKey())
		case *identity.Device:
			out.TokenKeys = append(out.TokenKeys, o.SigningKey())
		}
	}
	return out, nil
}

// public reads the public file of a device or an owner.
func public(name string) (identity.Object, error) {
	o, err := identity.LoadPublic(name)
	if err != nil {
		return nil, command.Advise(err, "name a public file: the owner's program writes one beside the key")
	}
	return o, nil
}
