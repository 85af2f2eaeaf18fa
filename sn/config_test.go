package sn

import (
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

func TestConfigDefaults(t *testing.T) {
	cfg, err := Config{Local: newLocal(t, 1, identity.ID{})}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Limits
	if cfg.PingInterval != 25*time.Second || cfg.Network == nil || cfg.Logger == nil ||
		l.Devices != 1_000_000 || l.Handshakes != 2000 || l.Workers < 1 ||
		l.Call != (Rate{20, 50}) || l.Prefix != (Rate{10, 20}) || l.Signal != (Rate{50, 100}) || l.Directory != (Rate{20, 50}) {
		t.Errorf("defaults %+v", cfg)
	}
	l, err = Limits{Devices: 5, Call: Rate{PerSecond: 3}, Signal: Rate{PerSecond: -1}, Handshakes: -1}.withDefaults()
	if err != nil || l.Devices != 5 || l.Call != (Rate{3, 6}) || l.Signal.PerSecond != -1 || l.Handshakes != -1 {
		t.Errorf("limits %+v, %v", l, err)
	}
}

func TestConfigErrors(t *testing.T) {
	local := newLocal(t, 1, identity.ID{})
	for want, cfg := range map[string]Config{
		"no local device":    {},
		"ping interval":      {Local: local, PingInterval: time.Hour},
		"advertise":          {Local: local, Advertise: "no port"},
		"limit on devices":   {Local: local, Limits: Limits{Devices: -1}},
		"no tokens a second": {Local: local, Limits: Limits{Call: Rate{Burst: 5}}},
		"objects is above":   {Local: local, Limits: Limits{Objects: 1_000_000_001}},
		"a rate of 1 a":      {Local: local, Limits: Limits{Call: Rate{1, 1_000_000_001}}},
		"a rate of 10000000": {Local: local, Limits: Limits{Call: Rate{PerSecond: 1_000_000_001}}},
	} {
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sn: open: ") {
			t.Errorf("error %q, want it to tell of %q", err, want)
		}
	}
}

// The largest rates that are taken still give tokens, and end.
func TestLargestRates(t *testing.T) {
	for _, r := range []Rate{{1, maxLimit}, {maxLimit, maxLimit}, {PerSecond: maxLimit}} {
		l, err := Limits{Call: r}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		var b bucket
		now := 100 * 365 * 24 * time.Hour
		if !b.take(l.Call, now) {
			t.Errorf("%+v: no token at first", r)
		}
		if b = bucket(now + time.Duration(l.Call.Burst)*(time.Second/time.Duration(l.Call.PerSecond))); b.take(l.Call, now) {
			t.Errorf("%+v: a token from an empty bucket", r)
		}
	}
}
