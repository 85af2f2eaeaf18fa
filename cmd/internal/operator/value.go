package operator

import (
	"errors"
	"fmt"
	"log/slog"
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
