package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MarshalPublic returns an identity as the text of a public file: the second
// block of a key file (spec §8). It holds no secret.
func MarshalPublic(o Object) []byte {
	block := pemDevice
	if _, ok := o.(*People); ok {
		block = pemPeople
	}
	return pem.EncodeToMemory(&pem.Block{Type: block, Bytes: o.Bytes()})
}

// ParsePublic reads the text of a public file, which has nothing but white space
// around its one block. Its errors are those of ParseObject.
func ParsePublic(text []byte) (Object, error) {
	block := pemDevice
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN "+pemPeople+"-----")) {
		block = pemPeople
	}
	raw, rest, err := decodeBlock(text, block)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("identity: text after the %s block of a public file: %w", block, ErrMalformed)
	}
	if block == pemPeople {
		return objectOrNil(ParsePeople(raw))
	}
	return objectOrNil(ParseDevice(raw))
}

// objectOrNil keeps a nil pointer from becoming an Object that is not nil.
func objectOrNil[O Object](o O, err error) (Object, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}

// LoadPublic reads a public file. Anybody may have access to it.
func LoadPublic(path string) (Object, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("identity: open public file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("identity: read public file: %w", err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("identity: public file %s exceeds %d bytes: %w", path, maxKeyFile, ErrTooLarge)
	}
	o, err := ParsePublic(text)
	if err != nil {
		return nil, fmt.Errorf("public file %s: %w", path, err)
	}
	return o, nil
}

// ReplacePublic writes a public file in place of one that holds an earlier
// version of the same identity, in one step that survives a crash. A missing file
// is created. One that holds a newer version, something else, or cannot be read is
// left alone.
func ReplacePublic(path string, o Object) error {
	held, err := LoadPublic(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createKeyFile(path, MarshalPublic(o))
	case err == nil:
		err = CheckSuccessor(held, o)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if bytes.Equal(held.Bytes(), o.Bytes()) {
		return nil
	}
	return replaceKeyFile(path, MarshalPublic(o))
}
