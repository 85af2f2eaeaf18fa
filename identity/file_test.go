package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func localDevice(t testing.TB) *LocalDevice { return &LocalDevice{testSecret(2), testDevice(t)} }

func localPeople(t testing.TB) *LocalPeople { return &LocalPeople{testSecret(1), fullPeople(t)} }

func writeFile(t *testing.T, path string, text []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
}

// names returns the names of the files in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestDeviceFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "device.key")
	l := localDevice(t)
	if err := SaveDevice(path, l); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("file has mode %v, error %v", info.Mode(), err)
	}
	loaded, err := LoadDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.Secret.keys().seed != l.Secret.keys().seed || !reflect.DeepEqual(loaded.Device, l.Device) {
		t.Error("loaded another device than saved")
	}
	if err := SaveDevice(path, l); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second save: %v", err)
	}

	body := l.Device.Body()
	body.Updated, body.Name = testStamp+1, "desktop"
	next, err := l.Device.Update(l.Secret, body)
	if err != nil {
		t.Fatal(err)
	}
	if err := ReplaceDevice(path, &LocalDevice{l.Secret, next}); err != nil {
		t.Fatal(err)
	}
	if loaded, err = LoadDevice(path); err != nil || loaded.Device.Name() != "desktop" {
		t.Errorf("after replacing: %v, error %v", loaded, err)
	}
	wantError(t, ReplaceDevice(path, l), ErrRolledBack)
	if got := names(t, dir); !reflect.DeepEqual(got, []string{"device.key"}) {
		t.Errorf("files left: %v", got)
	}
}

func TestPeopleFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "people.key")
	l := localPeople(t)
	if err := ReplacePeople(path, l); err != nil { // creates what is missing
		t.Fatal(err)
	}
	if err := SavePeople(path, l); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second save: %v", err)
	}
	loaded, err := LoadPeople(path)
	if err != nil || !reflect.DeepEqual(loaded.People, l.People) || loaded.Secret.SigningKey() != l.Secret.SigningKey() {
		t.Errorf("loaded %v, error %v", loaded, err)
	}
	if err := ReplacePeople(path, l); err != nil {
		t.Error(err)
	}
	other, err := NewPeople(testSecret(3), PeopleDesc{}, testPeopleBody())
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, ReplacePeople(path, &LocalPeople{testSecret(3), other}), ErrWrongID)
	_, err = LoadDevice(path)
	wantError(t, err, ErrMalformed)
}

// ReplaceDevice never destroys a file that may hold somebody's only key.
func TestReplaceDeviceKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	l := localDevice(t)
	other, err := NewDevice(testSecret(3), DeviceDesc{}, DeviceBody{Updated: testStamp + 1})
	if err != nil {
		t.Fatal(err)
	}
	valid := encodeDeviceFile(l)
	for _, tt := range []struct {
		name string
		text []byte
		mode fs.FileMode
		put  *LocalDevice
		want error
	}{
		{"another device", valid, 0o600, &LocalDevice{testSecret(3), other}, ErrWrongID},
		{"a damaged file", valid[:len(valid)/2], 0o600, l, ErrMalformed},
		{"a public file", valid, 0o644, l, ErrPermissions},
	} {
		writeFile(t, path, tt.text, tt.mode)
		err := ReplaceDevice(path, tt.put)
		wantError(t, err, tt.want)
		if text, _ := os.ReadFile(path); !bytes.Equal(text, tt.text) {
			t.Errorf("%s was replaced", tt.name)
		}
	}
}

func TestReplaceThroughSymlink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	l := localDevice(t)
	if err := SaveDevice(real, l); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	if err := ReplaceDevice(link, l); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link became %v, error %v", info.Mode(), err)
	}
}

// Of many that save to one path at once, one wins and the rest know it.
func TestSaveDeviceRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	const savers = 8
	errs := make([]error, savers)
	ids := make([]ID, savers)
	var wg sync.WaitGroup
	for i := range savers {
		secret := testSecret(byte(10 + i))
		d, err := NewDevice(secret, DeviceDesc{}, DeviceBody{Updated: 1})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = d.ID()
		wg.Go(func() { errs[i] = SaveDevice(path, &LocalDevice{secret, d}) })
	}
	wg.Wait()
	held, err := LoadDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if won := ids[i] == held.Device.ID(); won != (err == nil) || !won && !errors.Is(err, fs.ErrExist) {
			t.Errorf("saver %d: won %v, error %v", i, won, err)
		}
	}
}

func TestLoadDevicePermissions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "device.key")
	for _, mode := range []fs.FileMode{0o640, 0o620, 0o604, 0o610} {
		writeFile(t, path, encodeDeviceFile(localDevice(t)), mode)
		_, err := LoadDevice(path)
		wantError(t, err, ErrPermissions)
		if err != nil && !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("error does not say what to do: %v", err)
		}
	}
	writeFile(t, path, encodeDeviceFile(localDevice(t)), 0o400)
	if _, err := LoadDevice(path); err != nil {
		t.Error(err)
	}
}

func TestLoadDeviceRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadDevice(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	_, err := LoadDevice(dir)
	wantError(t, err, ErrMalformed)

	l := localDevice(t)
	valid := string(encodeDeviceFile(l))
	secret, device, _ := strings.Cut(valid, "-----BEGIN BDT DEVICE")
	device = "-----BEGIN BDT DEVICE" + device
	block := func(name string, headers map[string]string, content []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Headers: headers, Bytes: content}))
	}
	for _, tt := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrTruncated},
		{"blank", "\n \n", ErrTruncated},
		{"not PEM", "hello", ErrMalformed},
		{"no secret", device, ErrMalformed},
		{"no device", secret, ErrMalformed},
		{"swapped", device + secret, ErrMalformed},
		{"text before", "x\n" + valid, ErrMalformed},
		{"text between", secret + "x\n" + device, ErrMalformed},
		{"text after", valid + "x\n", ErrMalformed},
		{"headers", block(pemSecret, map[string]string{"A": "b"}, make([]byte, 32)) + device, ErrMalformed},
		{"short seed", block(pemSecret, nil, make([]byte, 31)) + device, ErrMalformed},
		{"other secret", block(pemSecret, nil, make([]byte, 32)) + device, ErrKeyMismatch},
		{"people", secret + block(pemPeople, nil, fullPeople(t).Bytes()), ErrMalformed},
		{"people as device", secret + block(pemDevice, nil, fullPeople(t).Bytes()), ErrWrongType},
		{"damaged device", secret + block(pemDevice, nil, append(l.Device.Bytes()[:481:481], 0)), ErrSignature},
		{"too large", valid + strings.Repeat("\n", maxKeyFile), ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "device.key")
			writeFile(t, path, []byte(tt.text), 0o600)
			_, err := LoadDevice(path)
			wantError(t, err, tt.want)
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("error does not name the file: %v", err)
			}
		})
	}

	// Devices that share one key with the secret beside them, but not the other.
	for i, s := range []*Secret{testSecret(2), testSecret(3)} {
		desc := testDeviceDesc()
		desc.SigningKey, desc.NoiseKey = s.SigningKey(), testSecret(byte(3-i)).NoiseKey()
		raw := forge(t, s, encode(t, desc), encode(t, wireDeviceBody{Updated: 1}))
		_, err = decodeDeviceFile(encodeKeyFile(testSecret(2), pemDevice, raw))
		wantError(t, err, ErrKeyMismatch)
	}
	_, err = decodePeopleFile(encodeKeyFile(testSecret(3), pemPeople, fullPeople(t).Bytes()))
	wantError(t, err, ErrKeyMismatch)
	_, err = decodePeopleFile(encodeKeyFile(testSecret(1), pemPeople, nil))
	wantError(t, err, ErrTruncated)
}

// A key file in a directory that cannot be written fails and leaves nothing.
func TestSaveDeviceFails(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none", "device.key")
	if err := SaveDevice(missing, localDevice(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("save in a missing directory: %v", err)
	}
	if err := replaceKeyFile(missing, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("replace in a missing directory: %v", err)
	}
	// A rename of a file onto a directory fails after all else worked.
	dir := t.TempDir()
	target := filepath.Join(dir, "device.key")
	if err := os.Mkdir(target, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceKeyFile(target, []byte("secret")); err == nil {
		t.Error("a directory was replaced")
	}
	if got := names(t, dir); !reflect.DeepEqual(got, []string{"device.key"}) {
		t.Errorf("files left: %v", got)
	}
}

func FuzzKeyFile(f *testing.F) {
	f.Add(encodeDeviceFile(localDevice(f)))
	f.Add(encodePeopleFile(localPeople(f)))
	f.Add([]byte("-----BEGIN " + pemSecret + "-----\n-----END " + pemSecret + "-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := decodeDeviceFile(text); err == nil {
			again, err := decodeDeviceFile(encodeDeviceFile(l))
			if err != nil || !bytes.Equal(again.Device.Bytes(), l.Device.Bytes()) {
				t.Errorf("%q does not survive, error %v", text, err)
			}
		}
		if l, err := decodePeopleFile(text); err == nil {
			again, err := decodePeopleFile(encodePeopleFile(l))
			if err != nil || !bytes.Equal(again.People.Bytes(), l.People.Bytes()) {
				t.Errorf("%q does not survive, error %v", text, err)
			}
		}
	})
}
