package flagvalue

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// Text is any text but none.
type Text string

// Set takes s.
func (t *Text) Set(s string) error {
	if s == "" {
		return fmt.Errorf("it is empty")
	}
	*t = Text(s)
	return nil
}

// String returns the text.
func (t *Text) String() string { return string(*t) }

// Type names the value in help texts.
func (*Text) Type() string { return "TEXT" }

// Switch is on or off.
type Switch bool

// Set takes what strconv.ParseBool does.
func (b *Switch) Set(s string) error {
	v, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("it is neither true nor false")
	}
	*b = Switch(v)
	return nil
}

// String returns "true" or "false".
func (b *Switch) String() string { return strconv.FormatBool(bool(*b)) }

// Type names the value in help texts.
func (*Switch) Type() string { return "bool" }

// IsBoolFlag says that the flag alone means true.
func (*Switch) IsBoolFlag() bool { return true }

// Duration is the time between keepalives: 0 for the default, or a second at least.
type Duration time.Duration

// Set takes what time.ParseDuration does.
func (d *Duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("it is no duration such as 25s or 2m")
	}
	if v != 0 && v < time.Second {
		return fmt.Errorf("it is below 1s")
	}
	*d = Duration(v)
	return nil
}

// String returns the duration.
func (d *Duration) String() string { return time.Duration(*d).String() }

// Type names the value in help texts.
func (*Duration) Type() string { return "DURATION" }

// IDs are devices and owners.
type IDs []identity.ID

// Set adds what s says.
func (l *IDs) Set(s string) error {
	id, err := identity.ParseID(s)
	if err != nil {
		return err
	}
	if t := id.Type(); t != identity.TypeDevice && t != identity.TypePeople {
		return fmt.Errorf("it is the id of a %s, not of a device or an owner", t)
	}
	*l = append(*l, id)
	return nil
}

// String returns the ids, joined by commas.
func (l *IDs) String() string { return join(*l) }

// Type names the value in help texts.
func (*IDs) Type() string { return "ID" }

// Visibility is to whom super nodes may show a device's addresses.
type Visibility bdt.Visibility

// visibilities are the words for it.
var visibilities = []string{
	bdt.VisibleToEveryone: "everyone",
	bdt.VisibleToZone:     "zone",
	bdt.VisibleToNobody:   "nobody",
}

// Set takes a word.
func (v *Visibility) Set(s string) error {
	for i, w := range visibilities {
		if s == w {
			*v = Visibility(i)
			return nil
		}
	}
	return fmt.Errorf("choose from %s", strings.Join(visibilities, ", "))
}

// String returns the word.
func (v *Visibility) String() string { return visibilities[*v] }

// Type names the value in help texts.
func (*Visibility) Type() string { return "WHO" }
