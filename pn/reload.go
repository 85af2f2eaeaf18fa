package pn

import (
	"fmt"
	"slices"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// settings are what can be changed while the server runs. They are replaced whole.
type settings struct {
	limits Limits // of which the sizes of tables are those of the start
	idle   time.Duration
	ref    identity.Ref
	admits *gatekeeper

	pair        rate
	payer, zone tariff
}

func newSettings(cfg Config) (*settings, error) {
	admits, err := newGatekeeper(cfg.Local.Device, cfg.Admission)
	if err != nil {
		return nil, err
	}
	l := cfg.Limits
	return &settings{
		limits: l,
		idle:   cfg.Idle,
		admits: admits,
		pair:   rateOf(l.Pair),
		payer:  tariff{rateOf(l.Payer), l.PayerDaily},
		zone:   tariff{rateOf(l.Zone), l.ZoneDaily},
	}, nil
}

// Reload changes what can be changed while the server runs: Admission, the rates, quotas
// and the budget of handshakes in Limits, PerSession, Idle, and Advertise. Bindings whose payer
// is not admitted any more end within a minute. Whatever else differs from the running
// configuration it names, as the fields of Config and Limits: that wants a restart. Network, Local,
// Metrics and Logger are not looked at. Of an owner who was listed before, the newer object
// counts. With an error nothing has changed.
func (s *Server) Reload(cfg Config) (restart []string, err error) {
	cfg.Network, cfg.Local, cfg.Logger, cfg.Metrics = s.cfg.Network, s.cfg.Local, s.cfg.Logger, s.cfg.Metrics
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, fmt.Errorf("pn: reload: %w: %w", ErrConfig, err)
	}
	was := s.settings.Load().limits
	for _, size := range []struct {
		name string
		now  *int
		was  int
	}{
		{"Limits.Sessions", &cfg.Limits.Sessions, was.Sessions},
		{"Limits.Pairs", &cfg.Limits.Pairs, was.Pairs},
		{"Limits.Payers", &cfg.Limits.Payers, was.Payers},
		{"Limits.Workers", &cfg.Limits.Workers, was.Workers},
	} {
		if *size.now != size.was {
			restart = append(restart, size.name)
			*size.now = size.was
		}
	}
	if cfg.Limits.Bandwidth != was.Bandwidth {
		restart = append(restart, "Limits.Bandwidth")
		cfg.Limits.Bandwidth = was.Bandwidth
	}
	if !slices.Equal(cfg.Listen, s.cfg.Listen) {
		restart = append(restart, "Listen")
	}
	if cfg.Sockets != s.cfg.Sockets {
		restart = append(restart, "Sockets")
	}
	set, err := newSettings(cfg)
	if err != nil {
		return nil, fmt.Errorf("pn: reload: %w: %w", ErrConfig, err)
	}
	if set.ref, err = s.makeRef(cfg.Advertise); err != nil {
		return nil, fmt.Errorf("pn: reload: %w", err)
	}
	set.admits.keepNewer(s.settings.Load().admits)
	s.settings.Store(set)
	s.gate.SetBudget(cfg.Limits.Handshakes)
	return restart, nil
}
