package operator

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// A Level is a log level by its name.
type Level slog.Level

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (l *Level) UnmarshalYAML(n ast.Node) error { return setNode(l, n) }

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

// A Duration is one as Go writes it.
type Duration time.Duration

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *Duration) UnmarshalYAML(n ast.Node) error { return setNode(d, n) }

// Set takes a duration with its unit.
func (d *Duration) Set(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration such as 25s", text)
	}
	*d = Duration(v)
	return nil
}

// Set takes the name of a level, for flags.
func (l *Level) Set(text string) error {
	if err := (*slog.Level)(l).UnmarshalText([]byte(text)); err != nil {
		return fmt.Errorf("%q is not debug, info, warn or error", text)
	}
	return nil
}

// String implements pflag.Value, for flags, as Type does.
func (l *Level) String() string { return strings.ToLower(slog.Level(*l).String()) }

// Type names what the flag takes.
func (*Level) Type() string { return "LEVEL" }

// A Format is how log lines look.
type Format string

// The formats.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (f *Format) UnmarshalYAML(n ast.Node) error { return setNode(f, n) }

// Set takes the name of a format, for flags.
func (f *Format) Set(text string) error {
	switch v := Format(text); v {
	case FormatText, FormatJSON:
		*f = v
		return nil
	}
	return fmt.Errorf("%q is not text or json", text)
}

// String implements pflag.Value, for flags, as Type does.
func (f *Format) String() string { return string(*f) }

// Type names what the flag takes.
func (*Format) Type() string { return "FORMAT" }

// A Size is a number of bytes: 64MiB, 1GB, 1500. Negative: "none". It is 0 where nothing is said: who
// writes 0 does not mean the default.
type Size int64

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (z *Size) UnmarshalYAML(n ast.Node) error { return setNode(z, n) }

// units are what a Size may end in, the longer before their ends.
var units = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// Set takes a number with its unit, or none.
func (z *Size) Set(text string) error {
	if text == "none" {
		*z = -1
		return nil
	}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || v <= 0 || v > math.MaxInt64/u.bytes {
			break
		}
		*z = Size(v * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size such as 64MiB, 1GB or none (no limit)", text)
}
