package bench

import (
	"bytes"
	"encoding/hex"
	"io"
	"testing"
)

func TestHeader(t *testing.T) {
	for golden, h := range map[string]header{
		"010100000000": {op: opSink},
		"01020000ea60": {opSource, 60_000},
		"010300000040": {opAnswer, 64},
	} {
		b := h.Append([]byte{0xff})
		if got := hex.EncodeToString(b); got != "ff"+golden {
			t.Errorf("%+v is %s, want %s after ff", h, got, golden)
		}
		got, err := readHeader(bytes.NewReader(append(b[1:], 9)))
		if err != nil || got != h {
			t.Errorf("%s reads as %+v, %v", golden, got, err)
		}
		for n := range headerSize {
			if _, err := readHeader(bytes.NewReader(b[1 : 1+n])); err == nil {
				t.Errorf("%d bytes of %s read as a header", n, golden)
			}
		}
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(header{op: opSink}.Append(nil))
	f.Add(header{opSource, 60_000}.Append(nil))
	f.Add(append(header{opAnswer, 64}.Append(nil), 1, 2, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := readHeader(r)
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(r)
		if got := append(h.Append(nil), rest...); !bytes.Equal(got, b) {
			t.Errorf("%x reads as %+v, which is %x", b, h, got)
		}
	})
}
