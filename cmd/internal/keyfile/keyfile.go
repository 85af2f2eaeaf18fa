// Package keyfile is the key file of a daemon: where it lies unless told
// otherwise, and how it comes to be on first use.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/identity"
)

// Default returns the place of a key file with the given name: directory bdt
// of the user's configuration directory.
func Default(name string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", command.Advise(fmt.Errorf("no place for a key file: %w", err), "say where with --key FILE")
	}
	return filepath.Join(dir, "bdt", name), nil
}

// New makes a device with a fresh key. Nothing is written.
func New(desc identity.DeviceDesc, body identity.DeviceBody) (*identity.LocalDevice, error) {
	secret := identity.GenerateSecret()
	body.Updated = uint64(max(time.Now().UnixMilli(), 1))
	d, err := identity.NewDevice(secret, desc, body)
	if err != nil {
		return nil, err
	}
	return &identity.LocalDevice{Secret: secret, Device: d}, nil
}

// Load reads a device's key file.
func Load(path string) (*identity.LocalDevice, error) {
	d, err := identity.LoadDevice(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, command.Advise(err, "make one with 'bdt id new --out %s'", path)
	}
	return d, Explain(err, path)
}

// LoadOrMake reads a device's key file, which it makes if there is none, with
// its directory.
func LoadOrMake(path string) (d *identity.LocalDevice, made bool, err error) {
	return LoadOrMakeFor(path, identity.ID{}, "")
}

// LoadOrMakeFor is LoadOrMake with the owner and the name of the device that is
// made.
func LoadOrMakeFor(path string, owner identity.ID, name string) (d *identity.LocalDevice, made bool, err error) {
	d, err = identity.LoadDevice(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return d, false, Explain(err, path)
	}
	if d, err = New(identity.DeviceDesc{Owner: owner}, identity.DeviceBody{Name: name}); err != nil {
		return nil, false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, false, Explain(err, path)
	}
	if err := identity.SaveDevice(path, d); err != nil {
		return nil, false, Explain(err, path)
	}
	return d, true, nil
}

// Explain returns err, from reading or writing the key file path, with what to
// do about it.
func Explain(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, identity.ErrPermissions):
		return command.Advise(err, "if nobody has copied it, run 'chmod 600 %s'", path)
	case errors.Is(err, fs.ErrExist):
		return command.Advise(err, "choose another name: a key that is overwritten is lost")
	case errors.Is(err, identity.ErrMalformed), errors.Is(err, identity.ErrTruncated), errors.Is(err, identity.ErrKeyMismatch),
		errors.Is(err, identity.ErrSignature), errors.Is(err, identity.ErrTooLarge), errors.Is(err, identity.ErrNotCanonical):
		return command.Advise(err, "restore it from a backup, or make a new identity with 'bdt id new'")
	}
	return command.Advise(err, "name a file that you can read and write")
}
