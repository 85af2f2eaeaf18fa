package keyfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
)

func TestDefault(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", "/conf")
	t.Setenv("HOME", "/home/x")
	dir, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keyfile.Default("a.pem"); err != nil || got != filepath.Join(dir, "bdt", "a.pem") {
		t.Errorf("Default = %q, %v", got, err)
	}
}

func TestLoadOrMake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "key.pem")
	if _, err := keyfile.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing: %v", err)
	}
	first, made, err := keyfile.LoadOrMake(path)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	second, made, err := keyfile.LoadOrMake(path)
	if err != nil || made || second.Device.ID() != first.Device.ID() {
		t.Errorf("the second time: made %v, %v", made, err)
	}
	third, err := keyfile.Load(path)
	if err != nil || third.Device.ID() != first.Device.ID() {
		t.Errorf("Load: %v", err)
	}
}

// What is there already is never overwritten.
func TestLoadOrMakeDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyfile.LoadOrMake(path); !errors.Is(err, identity.ErrMalformed) {
		t.Errorf("damaged file: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "damaged" {
		t.Errorf("the file now holds %q", text)
	}
	below := filepath.Join(path, "key.pem")
	if _, _, err := keyfile.LoadOrMake(below); err == nil {
		t.Error("made a key file below a file")
	}
}

// Whatever is wrong, the reader is told what to do.
func TestExplain(t *testing.T) {
	for cause, want := range map[error]string{
		identity.ErrPermissions: "run 'chmod 600 x.pem'",
		fs.ErrExist:             "choose another name",
		identity.ErrMalformed:   "restore it",
		identity.ErrKeyMismatch: "restore it",
		fs.ErrPermission:        "name a file that you can read and write",
	} {
		c := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error {
			return keyfile.Explain(fmt.Errorf("open: %w", cause), "x.pem")
		}}
		var stderr bytes.Buffer
		c.SetErr(&stderr)
		c.SetArgs(nil)
		if status := command.Run(context.Background(), c); status != command.Failed {
			t.Errorf("%v: status %d", cause, status)
		}
		if _, next, _ := strings.Cut(stderr.String(), "\nnext: "); !strings.Contains(next, want) {
			t.Errorf("%v: advice %q, want %q", cause, next, want)
		}
	}
	if err := keyfile.Explain(nil, "x.pem"); err != nil {
		t.Errorf("Explain(nil) = %v", err)
	}
}
