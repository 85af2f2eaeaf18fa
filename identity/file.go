package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// A LocalDevice is a device of which we hold the secret.
type LocalDevice struct {
	Secret *Secret
	Device *Device
}

// A LocalPeople is an owner of which we hold the secret.
type LocalPeople struct {
	Secret *Secret
	People *People
}

// PEM block types of a key file (spec §8).
const (
	pemSecret = "BDT SECRET KEY"
	pemDevice = "BDT DEVICE"
	pemPeople = "BDT PEOPLE"
)

// maxKeyFile is the largest key file: MaxPeopleSize grows by 4/3 in base64 and
// by 1/64 in line ends, to 89 KiB; the rest is armour and the secret.
const maxKeyFile = 96 << 10

// LoadDevice reads a device's key file. It fails with ErrPermissions if other
// users have any access to it, and with ErrKeyMismatch if the secret in it is
// not the device's.
func LoadDevice(path string) (*LocalDevice, error) {
	return loadKeyFile(path, decodeDeviceFile)
}

// SaveDevice writes a new key file, readable by this user only. If the file
// exists, it is left alone and the error is fs.ErrExist.
func SaveDevice(path string, l *LocalDevice) error {
	return createKeyFile(path, encodeDeviceFile(l))
}

// ReplaceDevice writes a key file in place of the one that holds an earlier
// version of the same device; after a crash, one of the two is there. A missing
// file is created. A file of another identity, and one that cannot be read, is
// left alone: a key must not be lost by mistake.
func ReplaceDevice(path string, l *LocalDevice) error {
	held, err := LoadDevice(path)
	if errors.Is(err, fs.ErrNotExist) {
		return SaveDevice(path, l)
	}
	if err == nil {
		err = CheckSuccessor(held.Device, l.Device)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return replaceKeyFile(path, encodeDeviceFile(l))
}

// LoadPeople is LoadDevice for an owner.
func LoadPeople(path string) (*LocalPeople, error) {
	return loadKeyFile(path, decodePeopleFile)
}

// SavePeople is SaveDevice for an owner.
func SavePeople(path string, l *LocalPeople) error {
	return createKeyFile(path, encodePeopleFile(l))
}

// ReplacePeople is ReplaceDevice for an owner.
func ReplacePeople(path string, l *LocalPeople) error {
	held, err := LoadPeople(path)
	if errors.Is(err, fs.ErrNotExist) {
		return SavePeople(path, l)
	}
	if err == nil {
		err = CheckSuccessor(held.People, l.People)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return replaceKeyFile(path, encodePeopleFile(l))
}

func encodeDeviceFile(l *LocalDevice) []byte {
	return encodeKeyFile(l.Secret, pemDevice, l.Device.Bytes())
}

func encodePeopleFile(l *LocalPeople) []byte {
	return encodeKeyFile(l.Secret, pemPeople, l.People.Bytes())
}

func encodeKeyFile(secret *Secret, block string, raw []byte) []byte {
	text := pem.EncodeToMemory(&pem.Block{Type: pemSecret, Bytes: secret.keys().seed[:]})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: raw})...)
}

func decodeDeviceFile(text []byte) (*LocalDevice, error) {
	secret, raw, err := decodeKeyFile(text, pemDevice)
	if err != nil {
		return nil, err
	}
	d, err := ParseDevice(raw)
	if err != nil {
		return nil, err
	}
	if secret.SigningKey() != d.sign || secret.NoiseKey() != d.noise {
		return nil, fmt.Errorf("identity: %v: %w", d.id, ErrKeyMismatch)
	}
	return &LocalDevice{secret, d}, nil
}

func decodePeopleFile(text []byte) (*LocalPeople, error) {
	secret, raw, err := decodeKeyFile(text, pemPeople)
	if err != nil {
		return nil, err
	}
	p, err := ParsePeople(raw)
	if err != nil {
		return nil, err
	}
	if secret.SigningKey() != p.sign {
		return nil, fmt.Errorf("identity: %v: %w", p.id, ErrKeyMismatch)
	}
	return &LocalPeople{secret, p}, nil
}

// decodeKeyFile splits a key file into its secret and the object in the block
// of the given type, and refuses anything before, between and after the two.
func decodeKeyFile(text []byte, block string) (*Secret, []byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil, fmt.Errorf("identity: key file is empty: %w", ErrTruncated)
	}
	seed, text, err := decodeBlock(text, pemSecret)
	if err != nil {
		return nil, nil, err
	}
	if len(seed) != len(secretKeys{}.seed) {
		return nil, nil, fmt.Errorf("identity: secret of %d bytes in key file: %w", len(seed), ErrMalformed)
	}
	raw, text, err := decodeBlock(text, block)
	if err != nil {
		return nil, nil, err
	}
	if len(bytes.TrimSpace(text)) != 0 {
		return nil, nil, fmt.Errorf("identity: text after the %s block of a key file: %w", block, ErrMalformed)
	}
	return SecretFromSeed([32]byte(seed)), raw, nil
}

// decodeBlock returns the content of the PEM block that text must start with,
// and what follows it.
func decodeBlock(text []byte, want string) (content, rest []byte, err error) {
	text = bytes.TrimSpace(text)
	if !bytes.HasPrefix(text, []byte("-----BEGIN "+want+"-----")) {
		return nil, nil, fmt.Errorf("identity: no %s block where a key file has one: %w", want, ErrMalformed)
	}
	b, rest := pem.Decode(text)
	if b == nil || b.Type != want || len(b.Headers) != 0 {
		return nil, nil, fmt.Errorf("identity: broken %s block in key file: %w", want, ErrMalformed)
	}
	return b.Bytes, rest, nil
}

// loadKeyFile reads path, checks that it is private, and decodes it.
func loadKeyFile[L any](path string, decode func([]byte) (L, error)) (L, error) {
	var none L
	f, err := os.Open(path)
	if err != nil {
		return none, fmt.Errorf("identity: open key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return none, fmt.Errorf("identity: inspect key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return none, fmt.Errorf("identity: key file %s is not a regular file: %w", path, ErrMalformed)
	}
	// Windows has no mode bits: Go makes some up from the read-only attribute.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return none, fmt.Errorf("identity: %w: %s has mode %04o, run chmod 600 %s", ErrPermissions, path, mode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return none, fmt.Errorf("identity: read key file: %w", err)
	}
	if len(text) > maxKeyFile {
		return none, fmt.Errorf("identity: key file %s exceeds %d bytes: %w", path, maxKeyFile, ErrTooLarge)
	}
	l, err := decode(text)
	if err != nil {
		return none, fmt.Errorf("key file %s: %w", path, err)
	}
	return l, nil
}

// createKeyFile writes a file that must not exist yet. An empty file claims the
// name first: rename would replace what another process has just written, and
// link(2), which would not, is missing on some file systems.
func createKeyFile(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("identity: create key file: %w", err)
	}
	f.Close()
	if err := replaceKeyFile(path, text); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

// replaceKeyFile puts text in place of the file at path, or of the one that a
// symbolic link there points to, in one step that survives a crash.
func replaceKeyFile(path string, text []byte) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return fmt.Errorf("identity: write key file: %w", err)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("identity: write key file: %w", err)
	}
	defer os.Remove(f.Name()) // there only if something failed
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("identity: write key file %s: %w", path, err)
	}
	return nil
}

// syncDir makes a rename in dir durable. Windows cannot, and orders its journal
// by itself.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
