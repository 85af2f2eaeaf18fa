// Package qrcode is a text as a QR code on a terminal. It alone imports the library
// that makes them.
package qrcode

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"rsc.io/qr"
)

// quiet is the margin that scanners need, in modules (ISO/IEC 18004 §5.3.8 asks for
// four; on a terminal, whose own background goes on, two do).
const quiet = 2

// ErrTooLong: the text does not fit a code.
var ErrTooLong = errors.New("too long for a QR code")

// Write writes a text as a code, two rows of modules in a line of characters. Dark
// modules are spaces and light ones blocks, so that it reads right on a terminal with
// light text on a dark ground; inverse is for the other kind.
func Write(w io.Writer, text string, inverse bool) error {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return fmt.Errorf("%d bytes: %w", len(text), ErrTooLong)
	}
	light := func(x, y int) bool { return code.Black(x, y) == inverse }
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		for x := -quiet; x < code.Size+quiet; x++ {
			// The line below an odd last row is outside, and stays unlit.
			upper, lower := light(x, y), light(x, y+1) && y+1 < code.Size+quiet
			b.WriteString(map[[2]bool]string{{false, false}: " ", {true, false}: "▀", {false, true}: "▄", {true, true}: "█"}[[2]bool{upper, lower}])
		}
		b.WriteByte('\n')
	}
	_, err = io.WriteString(w, b.String())
	return err
}
