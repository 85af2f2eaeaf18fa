package sn

import (
	"fmt"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// settings are what can be changed while the server runs. They are replaced whole.
type settings struct {
	limits Limits // of which the sizes of tables are those of the start
	ping   time.Duration
	ref    identity.Ref
}

func (s *Server) limits() *Limits { return &s.settings.Load().limits }

// Reload changes what can be changed while the server runs: the rates, the budget of
// handshakes and the devices of a network in Limits, PingInterval, and Advertise.
// Whatever else differs from the running configuration it names, as the fields of
// Config and Limits: that wants a restart. Network, Local, Metrics and Logger are not
// looked at. With an error nothing has changed.
func (s *Server) Reload(cfg Config) (restart []string, err error) {
	cfg.Network, cfg.Local, cfg.Logger, cfg.Metrics = s.cfg.Network, s.cfg.Local, s.cfg.Logger, s.cfg.Metrics
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, fmt.Errorf("sn: reload: %w: %w", ErrConfig, err)
	}
	ref, err := s.makeRef(cfg.Advertise)
	if err != nil {
		return nil, fmt.Errorf("sn: reload: %w", err)
	}
	was := s.limits()
	for _, size := range []struct {
		name string
		now  *int
		was  int
	}{
		{"Limits.Devices", &cfg.Limits.Devices, was.Devices},
		{"Limits.Pending", &cfg.Limits.Pending, was.Pending},
		{"Limits.Objects", &cfg.Limits.Objects, was.Objects},
		{"Limits.Calls", &cfg.Limits.Calls, was.Calls},
		{"Limits.Pairs", &cfg.Limits.Pairs, was.Pairs},
		{"Limits.Workers", &cfg.Limits.Workers, was.Workers},
	} {
		if *size.now != size.was {
			restart = append(restart, size.name)
			*size.now = size.was
		}
	}
	if !slices.Equal(cfg.Listen, s.cfg.Listen) {
		restart = append(restart, "Listen")
	}
	if cfg.STUNPort != s.cfg.STUNPort {
		restart = append(restart, "STUNPort")
	}
	if cfg.State != s.cfg.State {
		restart = append(restart, "State")
	}
	s.settings.Store(&settings{cfg.Limits, cfg.PingInterval, ref})
	s.gate.SetBudget(cfg.Limits.Handshakes)
	s.devices.perNetwork.Store(int64(cfg.Limits.PerNetwork))
	return restart, nil
}
