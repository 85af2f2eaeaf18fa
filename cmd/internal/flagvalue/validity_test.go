package flagvalue_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/flagvalue"
)

func TestValidity(t *testing.T) {
	for s, want := range map[string]struct {
		d    time.Duration
		text string
	}{
		"90d":    {90 * 24 * time.Hour, "90d"},
		"1d":     {24 * time.Hour, "1d"},
		"48h":    {48 * time.Hour, "2d"},
		"90m":    {90 * time.Minute, "1h30m0s"},
		"36500d": {36500 * 24 * time.Hour, "36500d"},
	} {
		var v flagvalue.Validity
		if err := v.Set(s); err != nil || time.Duration(v) != want.d || v.String() != want.text {
			t.Errorf("%s: %s (%v), %v", s, v.String(), time.Duration(v), err)
		}
	}
	for s, part := range map[string]string{
		"":                      "neither days",
		"d":                     "number of days",
		"-1d":                   "number of days",
		"1.5d":                  "number of days",
		"0d":                    "over already",
		"-1h":                   "over already",
		"36501d":                "a hundred years",
		"99999999999999999999d": "number of days",
		"2000000000d":           "a hundred years",
		"soon":                  "neither days",
	} {
		v := flagvalue.Validity(time.Hour)
		if err := v.Set(s); err == nil || !strings.Contains(err.Error(), part) || time.Duration(v) != time.Hour {
			t.Errorf("%q: %v, want one that says %q", s, err, part)
		}
	}
}
