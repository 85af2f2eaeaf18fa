package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/identity"
)

// A public file is an identity without its secret: the second block of a key
// file (identity.md §8).
const (
	pemDevice = "BDT DEVICE"
	pemPeople = "BDT PEOPLE"
)

// maxPublic bounds what is read of a file: 64 KiB of an owner grow by a third
// in base64, and by line ends.
const maxPublic = 96 << 10

var errNoObject = errors.New("no identity in it")

// writePublic writes the identity that a file holds, without its secret.
func writePublic(w io.Writer, path string) error {
	o, err := loadObject(path)
	if err != nil {
		return err
	}
	block := pemDevice
	if _, ok := o.(*identity.People); ok {
		block = pemPeople
	}
	return pem.Encode(w, &pem.Block{Type: block, Bytes: o.Bytes()})
}

// loadPublic reads the identity of a public file or key file, and reports
// whether there was something else before it, which is a secret.
func loadPublic(path string) (o identity.Object, secret bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPublic))
	if err != nil {
		return nil, false, err
	}
	for {
		var b *pem.Block
		b, text = pem.Decode(text)
		switch {
		case b == nil:
			return nil, secret, fmt.Errorf("%s: %w", path, errNoObject)
		case b.Type == pemDevice || b.Type == pemPeople:
			if o, err = identity.ParseObject(b.Bytes); err != nil {
				return nil, secret, fmt.Errorf("%s: %w", path, err)
			}
			return o, secret, nil
		}
		secret = true
	}
}

// loadOwner reads an owner, with or without its secret.
func loadOwner(path string) (*identity.People, error) {
	o, _, err := loadPublic(path)
	if err == nil {
		if p, ok := o.(*identity.People); ok {
			return p, nil
		}
		err = fmt.Errorf("%s holds no owner, but %v", path, o)
	}
	return nil, command.Advise(err, "name a file that 'bdt id new --people' or 'bdt id show --public' has written")
}
