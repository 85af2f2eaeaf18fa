package qrcode_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"rsc.io/qr"

	"github.com/bdtnet/bdt/cmd/internal/qrcode"
)

// modules reads back the modules of a code that was drawn: true is dark.
func modules(t *testing.T, drawn string, inverse bool) [][]bool {
	t.Helper()
	var rows [][]bool
	for line := range strings.Lines(drawn) {
		line = strings.TrimSuffix(line, "\n")
		upper, lower := []bool{}, []bool{}
		for _, r := range line {
			lit := map[rune][2]bool{' ': {false, false}, '▀': {true, false}, '▄': {false, true}, '█': {true, true}}[r]
			upper, lower = append(upper, lit[0] == inverse), append(lower, lit[1] == inverse)
		}
		rows = append(rows, upper, lower)
	}
	return rows
}

// What is drawn is the code, with its margin, either way round.
func TestWrite(t *testing.T) {
	for _, text := range []string{"a", "bdt:5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct?sn=5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct@sn.example:8443"} {
		code, err := qr.Encode(text, qr.L)
		if err != nil {
			t.Fatal(err)
		}
		for _, inverse := range []bool{false, true} {
			var b bytes.Buffer
			if err := qrcode.Write(&b, text, inverse); err != nil {
				t.Fatal(err)
			}
			if n := utf8.RuneCountInString(strings.SplitN(b.String(), "\n", 2)[0]); n != code.Size+4 {
				t.Errorf("%d characters in a line, want %d", n, code.Size+4)
			}
			rows := modules(t, b.String(), inverse)
			for y := range code.Size + 4 {
				for x := range code.Size + 4 {
					if rows[y][x] != code.Black(x-2, y-2) {
						t.Fatalf("inverse %v: module %d,%d is wrong", inverse, x, y)
					}
				}
			}
		}
	}
	if err := qrcode.Write(new(bytes.Buffer), strings.Repeat("x", 4<<10), false); !errors.Is(err, qrcode.ErrTooLong) {
		t.Errorf("4 KiB: %v", err)
	}
}
