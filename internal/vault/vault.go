// Package vault is a file of sealed records: what a server keeps across its
// restarts, in tables of keys and values. A value is encrypted and bound to its
// table and key; keys are stored as they are.
//
// A [Vault] belongs to one process at a time and to one owner: the file says
// what kind and version its records are, and proves whose key seals them. What
// is wrong with a file is an error that wraps one of those below, whatever its
// bytes.
package vault

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/crypto/chacha20poly1305"
)

// What can be wrong with a file.
var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("in use by another process")
	// ErrForeign: the file is no vault, or one of another kind.
	ErrForeign = errors.New("not a file of this kind")
	// ErrVersion: its records are of another version.
	ErrVersion = errors.New("records of another version")
	// ErrKey: another key seals its records.
	ErrKey = errors.New("sealed by another key")
	// ErrDamaged: the file is a vault, and cannot be read or written.
	ErrDamaged = errors.New("damaged")
)

// lockTimeout is how long Open waits for another process to close the file: as
// long as a server that was told to stop takes to write what it holds.
const lockTimeout = 5 * time.Second

// transactionLimit is how many changes go into one transaction, whose pages lie
// in memory until it ends.
const transactionLimit = 16_384

// header is the table that says what the file is, under these keys.
var (
	header     = []byte("vault")
	keyKind    = []byte("kind")
	keyVersion = []byte("version")
	keyCheck   = []byte("check")
)

// Config says which file to open. All fields are required.
type Config struct {
	Path    string
	Key     [32]byte // seals the values
	Kind    string   // what the records are
	Version uint32   // of their layout
}

// A Vault is an open file. Its methods may be called concurrently.
type Vault struct {
	db     *bolt.DB
	key    [32]byte
	broken atomic.Bool // the database has panicked, and may hold its own locks
}

// Open opens a file, and makes it if there is none. It waits up to 5 s for
// another process to close it.
func Open(cfg Config) (v *Vault, err error) {
	err = guard(func() error {
		db, err := bolt.Open(cfg.Path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
		if err != nil {
			return explain(err)
		}
		v = &Vault{db: db, key: cfg.Key}
		if err = v.check(cfg); err != nil {
			db.Close()
		}
		return err
	})
	if err != nil {
		// fs.PathError names the path already.
		if pathErr := new(fs.PathError); errors.As(err, &pathErr) {
			return nil, fmt.Errorf("vault: %w", err)
		}
		return nil, fmt.Errorf("vault: open %s: %w", cfg.Path, err)
	}
	return v, nil
}

// explain returns an error of the database as one of this package.
func explain(err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return err
}

// guard calls f, and returns an error where f panics or reads what the file no
// longer holds: the database trusts its pages.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	return f()
}

// guard is guard for an open file, and lets a database that has panicked alone.
func (v *Vault) guard(f func() error) error {
	if v.broken.Load() {
		return ErrDamaged
	}
	err := guard(f)
	if _, ok := errors.AsType[panicked](err); ok {
		v.broken.Store(true)
	}
	return err
}

// panicked is an ErrDamaged that the database has panicked over.
type panicked struct{ what any }

func (p panicked) Error() string { return fmt.Sprintf("%v: %v", ErrDamaged, p.what) }
func (p panicked) Unwrap() error { return ErrDamaged }

// check holds the file against cfg, and writes the header of a new one.
func (v *Vault) check(cfg Config) error {
	info, err := os.Stat(cfg.Path)
	if err != nil {
		return err
	}
	fresh := false
	err = v.db.View(func(tx *bolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: %d bytes of %d", ErrDamaged, info.Size(), tx.Size())
		}
		b := tx.Bucket(header)
		if b == nil {
			if name, _ := tx.Cursor().First(); name != nil {
				return ErrForeign
			}
			fresh = true
			return nil
		}
		if kind := b.Get(keyKind); string(kind) != cfg.Kind {
			return fmt.Errorf("%w: kind %q, not %q", ErrForeign, kind, cfg.Kind)
		}
		if version := b.Get(keyVersion); !bytes.Equal(version, binary.BigEndian.AppendUint32(nil, cfg.Version)) {
			return fmt.Errorf("%w: %x, not %d", ErrVersion, version, cfg.Version)
		}
		if _, err := v.open(nil, string(header), keyCheck, b.Get(keyCheck)); err != nil {
			return ErrKey
		}
		return nil
	})
	if err != nil || !fresh {
		return err
	}
	return v.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket(header)
		if err != nil {
			return err
		}
		return errors.Join(
			b.Put(keyKind, []byte(cfg.Kind)),
			b.Put(keyVersion, binary.BigEndian.AppendUint32(nil, cfg.Version)),
			b.Put(keyCheck, v.seal(string(header), keyCheck, nil)))
	})
}

// additional returns what a value is bound to.
func additional(table string, key []byte) []byte {
	return append(append([]byte(table), 0), key...)
}

// seal returns nonce and ciphertext of a value. Nonces are random: 2^32 values
// under one key leave a chance of 2^-128 that two share one.
func (v *Vault) seal(table string, key, value []byte) []byte {
	c, err := chacha20poly1305.NewX(v.key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	b := make([]byte, c.NonceSize(), c.NonceSize()+len(value)+c.Overhead())
	rand.Read(b) // never fails: it ends the program instead
	return c.Seal(b, b[:c.NonceSize()], value, additional(table, key))
}

func (v *Vault) open(dst []byte, table string, key, sealed []byte) ([]byte, error) {
	c, err := chacha20poly1305.NewX(v.key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	if len(sealed) < c.NonceSize() {
		return nil, ErrDamaged
	}
	b, err := c.Open(dst, sealed[:c.NonceSize()], sealed[c.NonceSize():], additional(table, key))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return b, nil
}

// Each calls f with all records of a table, by rising key, until f fails. The
// slices are valid only during the call; f must not write to the vault. A value
// that does not open is an error, behind which there is no more.
func (v *Vault) Each(table string, f func(key, value []byte) error) error {
	err := v.guard(func() error {
		return v.db.View(func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(table))
			if b == nil {
				return nil
			}
			var buf []byte
			return b.ForEach(func(key, sealed []byte) error {
				value, err := v.open(buf[:0], table, key, sealed)
				if err != nil {
					return err
				}
				buf = value
				return f(key, value)
			})
		})
	})
	if err != nil {
		return fmt.Errorf("vault: read %s: %w", table, err)
	}
	return nil
}

// A Change is a record to write, or to delete.
type Change struct {
	Table string // not "vault"
	Key   []byte // 1 to 32,768 bytes
	Value []byte // nil: delete
}

// Write writes changes, which it sorts. When it returns nil they are on the disk,
// whatever happens to the process or the machine. With an error a part may be.
func (v *Vault) Write(changes []Change) error {
	slices.SortStableFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), bytes.Compare(a.Key, b.Key))
	})
	for part := range slices.Chunk(changes, transactionLimit) {
		if err := v.guard(func() error { return v.write(part) }); err != nil {
			return fmt.Errorf("vault: write: %w", err)
		}
	}
	return nil
}

func (v *Vault) write(changes []Change) error {
	return v.db.Update(func(tx *bolt.Tx) error {
		for _, c := range changes {
			b, err := tx.CreateBucketIfNotExists([]byte(c.Table))
			if err != nil {
				return err
			}
			if c.Value == nil {
				err = b.Delete(c.Key)
			} else {
				err = b.Put(c.Key, v.seal(c.Table, c.Key, c.Value))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the file. Calls under way end first. A file that turned out to be
// damaged is left open: its database cannot be relied on to close.
func (v *Vault) Close() error {
	if v.broken.Load() {
		return ErrDamaged
	}
	return v.db.Close()
}
