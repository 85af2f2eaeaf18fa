package flagvalue

import (
	"fmt"
	"strings"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// CheckService reports what is wrong with the name of a service (stream.md §1).
func CheckService(s string) error {
	if s == "" || len(s) > identity.MaxService {
		return fmt.Errorf("the name %q of a service has 1 to %d characters", s, identity.MaxService)
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._/", c) >= 0) {
			return fmt.Errorf("the name %q of a service holds other than letters, digits, - . _ /", s)
		}
	}
	return nil
}

// cutName splits NAME=VALUE.
func cutName(s, form string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || value == "" {
		return "", "", fmt.Errorf("it is not %s", form)
	}
	return name, value, CheckService(name)
}

// A Policy says who may use a service.
type Policy struct {
	Service string // empty: each that no other policy names
	Who     string // as bdt.ParseAccess reads it
}

// Policies are written [SERVICE=]WHO[,WHO…]. Several for one service add up.
type Policies []Policy

// Set adds what s says.
func (p *Policies) Set(s string) error {
	var one Policy
	service, who, named := strings.Cut(s, "=")
	if !named {
		who = s
	} else if err := CheckService(service); err != nil {
		return err
	} else {
		one.Service = service
	}
	if _, err := bdt.ParseAccess(who); err != nil {
		return err
	}
	one.Who = who
	if _, err := bdt.ParseAccess(append(*p, one).For(one.Service, "")); err != nil {
		return err // "nobody", and others
	}
	*p = append(*p, one)
	return nil
}

// For returns who may use a service, as bdt.ParseAccess reads it; otherwise, if
// nothing is said of it.
func (p Policies) For(service, otherwise string) string {
	for _, name := range []string{service, ""} {
		var who []string
		for _, one := range p {
			if one.Service == name {
				who = append(who, one.Who)
			}
		}
		if len(who) > 0 {
			return strings.Join(who, ",")
		}
	}
	return otherwise
}

// String returns the policies, separated by spaces.
func (p *Policies) String() string {
	words := make([]string, len(*p))
	for i, one := range *p {
		words[i] = one.Who
		if one.Service != "" {
			words[i] = one.Service + "=" + one.Who
		}
	}
	return strings.Join(words, " ")
}

// Type names the value in help texts.
func (*Policies) Type() string { return "[SERVICE=]WHO,…" }

// An Expose is a service whose streams go to a local server.
type Expose struct {
	Service string
	To      Place
}

// Exposes are written NAME=HOST:PORT, or as [ParsePlace] reads it.
type Exposes []Expose

// Set adds what s says.
func (e *Exposes) Set(s string) error {
	name, text, err := cutName(s, "NAME=HOST:PORT")
	if err != nil {
		return err
	}
	to, err := ParsePlace(text)
	if err != nil {
		return err
	}
	if to.Port() == "0" {
		return fmt.Errorf("no server is at port 0")
	}
	*e = append(*e, Expose{name, to})
	return nil
}

// String returns what is exposed, separated by spaces.
func (e *Exposes) String() string {
	words := make([]string, len(*e))
	for i, one := range *e {
		words[i] = one.Service + "=" + one.To.String()
	}
	return strings.Join(words, " ")
}

// Type names the value in help texts.
func (*Exposes) Type() string { return "NAME=HOST:PORT" }

// A Dir is a service that serves the files of a directory.
type Dir struct{ Service, Path string }

// Dirs are written NAME=DIR.
type Dirs []Dir

// Set adds what s says.
func (d *Dirs) Set(s string) error {
	name, path, err := cutName(s, "NAME=DIR")
	if err != nil {
		return err
	}
	*d = append(*d, Dir{name, path})
	return nil
}

// String returns the directories, separated by spaces.
func (d *Dirs) String() string {
	words := make([]string, len(*d))
	for i, one := range *d {
		words[i] = one.Service + "=" + one.Path
	}
	return strings.Join(words, " ")
}

// Type names the value in help texts.
func (*Dirs) Type() string { return "NAME=DIR" }

// Choices are words from a list.
type Choices struct {
	From   []string
	Chosen []string
}

// Set adds a word.
func (c *Choices) Set(s string) error {
	for word := range strings.SplitSeq(s, ",") {
		known := false
		for _, w := range c.From {
			known = known || w == word
		}
		if !known {
			return fmt.Errorf("there is no %q: choose from %s", word, strings.Join(c.From, ", "))
		}
		c.Chosen = append(c.Chosen, word)
	}
	return nil
}

// String returns the words, joined by commas.
func (c *Choices) String() string { return strings.Join(c.Chosen, ",") }

// Type names the value in help texts.
func (*Choices) Type() string { return "SERVICE" }
