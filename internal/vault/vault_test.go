package vault

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

func config(t testing.TB) Config {
	return Config{Path: filepath.Join(t.TempDir(), "file"), Key: [32]byte{1}, Kind: "test", Version: 1}
}

func open(t testing.TB, cfg Config) *Vault {
	t.Helper()
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// contents returns a table as a map.
func contents(t testing.TB, v *Vault, table string) map[string]string {
	t.Helper()
	m := map[string]string{}
	if err := v.Each(table, func(key, value []byte) error {
		m[string(key)] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	cfg := config(t)
	v := open(t, cfg)
	if err := v.Write([]Change{
		{"b", []byte("2"), []byte("two")}, {"a", []byte("1"), []byte("one")},
		{"b", []byte("3"), []byte{}}, {"b", []byte("4"), []byte("four")}, {"b", []byte("4"), nil},
	}); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v = open(t, cfg)
	defer v.Close()
	if got, want := contents(t, v, "a"), map[string]string{"1": "one"}; !maps.Equal(got, want) {
		t.Errorf("table a: %v, want %v", got, want)
	}
	if got, want := contents(t, v, "b"), map[string]string{"2": "two", "3": ""}; !maps.Equal(got, want) {
		t.Errorf("table b: %v, want %v", got, want)
	}
	if got := contents(t, v, "none"); len(got) != 0 {
		t.Errorf("a table that was never written: %v", got)
	}
}

func TestValuesAreSealed(t *testing.T) {
	cfg := config(t)
	v := open(t, cfg)
	secret := strings.Repeat("secret", 10)
	if err := v.Write([]Change{{"a", []byte("1"), []byte(secret)}}); err != nil {
		t.Fatal(err)
	}
	v.Close()
	b, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte("secret")) {
		t.Error("the file shows a value")
	}
	if info, err := os.Stat(cfg.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// A value is bound to its table and key: the file's owner cannot be made to take
// one record for another.
func TestMovedValueDoesNotOpen(t *testing.T) {
	cfg := config(t)
	v := open(t, cfg)
	defer v.Close()
	if err := v.Write([]Change{{"a", []byte("1"), []byte("one")}}); err != nil {
		t.Fatal(err)
	}
	if err := v.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("a"))
		return b.Put([]byte("2"), b.Get([]byte("1")))
	}); err != nil {
		t.Fatal(err)
	}
	if err := v.Each("a", func(_, _ []byte) error { return nil }); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		want error
		make func(t *testing.T, cfg *Config)
	}{
		{"another key", ErrKey, func(_ *testing.T, cfg *Config) { cfg.Key[0]++ }},
		{"another kind", ErrForeign, func(_ *testing.T, cfg *Config) { cfg.Kind = "other" }},
		{"another version", ErrVersion, func(_ *testing.T, cfg *Config) { cfg.Version++ }},
		{"text", ErrForeign, func(t *testing.T, cfg *Config) { write(t, cfg.Path, bytes.Repeat([]byte("text\n"), 4000)) }},
		{"a database of someone else", ErrForeign, func(t *testing.T, cfg *Config) {
			os.Remove(cfg.Path)
			db, err := bolt.Open(cfg.Path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err }); err != nil {
				t.Fatal(err)
			}
		}},
		{"truncated", ErrDamaged, func(t *testing.T, cfg *Config) {
			if err := os.Truncate(cfg.Path, 3*4096); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t)
			v := open(t, cfg)
			if err := v.Write([]Change{{"a", []byte("1"), make([]byte, 100_000)}}); err != nil {
				t.Fatal(err)
			}
			v.Close()
			test.make(t, &cfg)
			v, err := Open(cfg)
			if err == nil {
				v.Close()
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), cfg.Path) {
				t.Errorf("got %v, want %v and the path", err, test.want)
			}
		})
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whatever page is overwritten, the file is refused or read, and the process
// lives.
func TestDamagedPages(t *testing.T) {
	cfg := config(t)
	v := open(t, cfg)
	var changes []Change
	for i := range 1000 {
		changes = append(changes, Change{"a", []byte{byte(i >> 8), byte(i)}, make([]byte, 100)})
	}
	if err := v.Write(changes); err != nil {
		t.Fatal(err)
	}
	v.Close()
	good, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, fill := range []byte{0, 0xff, 1} {
		for at := 0; at < len(good); at += 4096 {
			b := bytes.Clone(good)
			copy(b[at:], bytes.Repeat([]byte{fill}, 4096))
			damaged := cfg
			damaged.Path = filepath.Join(t.TempDir(), "file")
			write(t, damaged.Path, b)
			v, err := Open(damaged)
			if err != nil {
				continue
			}
			n := 0
			err = v.Each("a", func(_, _ []byte) error { n++; return nil })
			if err == nil && n != 1000 && n != 0 {
				t.Errorf("page at %d filled with %d: %d records and no error", at, fill, n)
			}
			if err := v.Write([]Change{{"a", []byte("new"), []byte("value")}}); err != nil && !errors.Is(err, ErrDamaged) {
				t.Logf("page at %d filled with %d: write: %v", at, fill, err)
			}
			v.Close()
		}
	}
}

func TestLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for the lock in real time")
	}
	cfg := config(t)
	v := open(t, cfg)
	defer v.Close()
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
}
