// Package terminal is what a program writes to: a terminal that shows colours
// and lines that change, or a file or pipe that gets plain text.
package terminal

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A Terminal is a writer that knows how it will be read. The zero value is
// not usable.
type Terminal struct {
	io.Writer
	live    bool // lines may change
	colours bool
}

// New returns the terminal behind w, as the environment describes it. A writer
// that has another behind it says so by a method Unwrap.
func New(w io.Writer, getenv func(string) string) *Terminal {
	behind := w
	for u, ok := w.(unwrapper); ok; u, ok = behind.(unwrapper) {
		behind = u.Unwrap()
	}
	f, ok := behind.(*os.File)
	return newTerminal(w, ok && term.IsTerminal(int(f.Fd())), getenv)
}

type unwrapper interface{ Unwrap() io.Writer }

// newTerminal returns a terminal that is live if it can move its cursor.
// Colours are also off if the environment has a NO_COLOR that is not empty
// (https://no-color.org).
func newTerminal(w io.Writer, tty bool, getenv func(string) string) *Terminal {
	live := tty && getenv("TERM") != "dumb"
	return &Terminal{w, live, live && getenv("NO_COLOR") == ""}
}

// Printf writes formatted text. What a terminal does not take is lost.
func (t *Terminal) Printf(format string, args ...any) { fmt.Fprintf(t, format, args...) }

// The styles are functions of the text. Where colours are off they return it.

// Bold is for headings.
func (t *Terminal) Bold(s string) string { return t.style("1", s) }

// Faint is for what may be skipped.
func (t *Terminal) Faint(s string) string { return t.style("2", s) }

// Good is for what went well.
func (t *Terminal) Good(s string) string { return t.style("32", s) }

// Bad is for what did not.
func (t *Terminal) Bad(s string) string { return t.style("31", s) }

// A Colour is one of those that every terminal has (ECMA-48 §8.3.117).
type Colour string

// The colours tell kinds of things apart.
const (
	Green   Colour = "32"
	Yellow  Colour = "33"
	Blue    Colour = "34"
	Magenta Colour = "35"
	Cyan    Colour = "36"
)

// Tint is for what is of a kind.
func (t *Terminal) Tint(c Colour, s string) string { return t.style(string(c), s) }

// style wraps s in a graphic rendition (ECMA-48 §8.3.117).
func (t *Terminal) style(code, s string) string {
	if !t.colours {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// A Bar shows how much has been done, on a line that changes. Where
// the terminal is not live it shows nothing. Its methods may be called
// concurrently.
type Bar struct{ bar *progressbar.ProgressBar }

// Bar starts a bar of bytes that are moved. total is their number, -1 if it is not known.
func (t *Terminal) Bar(label string, total int64) *Bar {
	return t.bar(label, total, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
}

// Counter starts a bar of things that are done. total is their number, -1 if it is not known.
func (t *Terminal) Counter(label string, total int64) *Bar {
	return t.bar(label, total, progressbar.OptionShowCount(), progressbar.OptionShowIts())
}

func (t *Terminal) bar(label string, total int64, units ...progressbar.Option) *Bar {
	if !t.live {
		return &Bar{}
	}
	return &Bar{progressbar.NewOptions64(total, append(units,
		progressbar.OptionSetDescription(label),
		progressbar.OptionSetWriter(t.Writer),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(65*time.Millisecond), // 15 a second
		progressbar.OptionEnableColorCodes(false),
		progressbar.OptionSetPredictTime(false),
		progressbar.OptionClearOnFinish(),
	)...)}
}

// Set says how much has been done in all.
func (b *Bar) Set(n int64) {
	if b.bar != nil {
		b.bar.Set64(n) // fails if the terminal does, or n exceeds the total
	}
}

// Clear removes the bar, for other text or for good. The next Set shows it
// again.
func (b *Bar) Clear() {
	if b.bar != nil {
		b.bar.Clear()
	}
}
