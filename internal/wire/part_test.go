package wire

import (
	"bytes"
	"errors"
	"testing"
)

// A part that is not of the object it says it is of, is refused.
func TestPartRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		part  Part
		cause error
	}{
		"beyond the end":    {Part{10, 8, fill(1, 3)}, ErrValue},
		"offset beyond":     {Part{10, 11, nil}, ErrValue},
		"offset that wraps": {Part{10, 1<<32 - 1, fill(1, 3)}, ErrValue},
		"too large":         {Part{MaxStored + 1, 0, fill(1, 3)}, ErrCount},
		"too long":          {Part{MaxStored, 0, fill(1, MaxObject+1)}, ErrCount},
	} {
		m := FoundPart{Part: c.part}
		if _, err := ParseFoundPart(m.Append(nil)); !errors.Is(err, c.cause) {
			t.Errorf("%s: %v, want %v", name, err, c.cause)
		}
	}
	empty := PublishPart{Part: Part{10, 10, nil}}
	if _, err := ParsePublishPart(empty.Append(nil)); !errors.Is(err, ErrValue) {
		t.Errorf("an empty part: %v", err)
	}
}

// The parts of an object make it up.
func TestPartOf(t *testing.T) {
	for _, n := range []int{1, MaxObject, MaxObject + 1, 3 * MaxObject, MaxStored} {
		object := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
		var got []byte
		for len(got) < n {
			p := PartOf(object, len(got))
			if p.Total != uint32(n) || p.Offset != uint32(len(got)) || len(p.Bytes) == 0 {
				t.Fatalf("part %d of %d, %d bytes", p.Offset, p.Total, len(p.Bytes))
			}
			got = append(got, p.Bytes...)
		}
		if !bytes.Equal(got, object) {
			t.Errorf("%d bytes are put together wrong", n)
		}
	}
}
