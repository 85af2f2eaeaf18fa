package identity

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestPublicFile(t *testing.T) {
	d, p := testDevice(t), fullPeople(t)
	for _, o := range []Object{d, p} {
		text := MarshalPublic(o)
		got, err := ParsePublic(append(bytes.Clone(text), " \n"...))
		if err != nil || got.ID() != o.ID() || !bytes.Equal(got.Bytes(), o.Bytes()) {
			t.Errorf("%v comes back as %v, %v", o, got, err)
		}
		for name, bad := range map[string][]byte{
			"text before": append([]byte("x\n"), text...),
			"text behind": append(bytes.Clone(text), "x"...),
			"two blocks":  append(bytes.Clone(text), text...),
			"cut":         text[:len(text)/2],
			"empty":       nil,
			"a key file":  encodeDeviceFile(localDevice(t)),
		} {
			if o, err := ParsePublic(bad); !errors.Is(err, ErrMalformed) || o != nil {
				t.Errorf("%s: %v, %v", name, o, err)
			}
		}
	}
	swapped := bytes.ReplaceAll(MarshalPublic(d), []byte(pemDevice), []byte(pemPeople))
	if o, err := ParsePublic(swapped); err == nil || o != nil {
		t.Errorf("a device in a block of an owner: %v, %v", o, err)
	}
}

// A public file never goes back, and nothing else is overwritten.
func TestReplacePublic(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "me.pub")
	if _, err := LoadPublic(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	first := fullPeople(t)
	body := first.Body()
	body.Updated++
	second, err := first.Update(testSecret(1), body)
	if err != nil {
		t.Fatal(err)
	}
	holds := func(want Object) {
		t.Helper()
		if o, err := LoadPublic(path); err != nil || !bytes.Equal(o.Bytes(), want.Bytes()) {
			t.Errorf("file holds %v, %v", o, err)
		}
	}
	for _, step := range []struct {
		write, want Object
		cause       error
	}{
		{first, first, nil},
		{first, first, nil},
		{second, second, nil},
		{first, second, ErrRolledBack},
		{testDevice(t), second, ErrWrongID},
	} {
		err := ReplacePublic(path, step.write)
		if !errors.Is(err, step.cause) || (err == nil) != (step.cause == nil) {
			t.Errorf("writing %v: %v, want %v", step.write, err, step.cause)
		}
		holds(step.want)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("files left: %v", got)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, ReplacePublic(path, second), ErrMalformed)
	if err := os.WriteFile(path, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadPublic(path)
	wantError(t, err, ErrTooLarge)
}

// What parses is written the same way again.
func FuzzPublicFile(f *testing.F) {
	f.Add(MarshalPublic(testDevice(f)))
	f.Add(MarshalPublic(fullPeople(f)))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParsePublic(text)
		if err != nil {
			return
		}
		again, err := ParsePublic(MarshalPublic(o))
		if err != nil || !bytes.Equal(again.Bytes(), o.Bytes()) {
			t.Errorf("%v comes back as %v, %v", o, again, err)
		}
	})
}
