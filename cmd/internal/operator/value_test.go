package operator

import (
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	for text, want := range map[string]Size{
		"1500": 1500, "64MiB": 64 << 20, "1GB": 1e9, "10 KB": 10_000, "2TiB": 2 << 40, "7B": 7, "none": -1,
	} {
		var z Size
		if err := z.Set(text); err != nil || z != want {
			t.Errorf("%q: %d, %v", text, z, err)
		}
	}
	for _, text := range []string{"", "0", "0MiB", "-1", "MiB", "1.5GB", "1 mib", "9999999TiB", "9223372036854775808", "None"} {
		var z Size
		if err := z.Set(text); err == nil {
			t.Errorf("%q is %d", text, z)
		}
	}
	var d Duration
	if err := d.Set("25s"); err != nil || d != Duration(25*time.Second) || d.Set("soon") == nil {
		t.Errorf("%v, %v", d, err)
	}
	var l Level
	if err := l.Set("warn"); err != nil || l.String() != "warn" || l.Set("loud") == nil {
		t.Errorf("%v, %v", l, err)
	}
	var f Format
	if err := f.Set("json"); err != nil || f != FormatJSON || f.Set("xml") == nil {
		t.Errorf("%v, %v", f, err)
	}
}
