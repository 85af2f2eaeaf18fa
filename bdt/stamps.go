package bdt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
)

// stampMargin is how far ahead of the last stamp the file is written, so that
// it is written at most that often.
const stampMargin = time.Minute

// openStamper returns a source of stamps that stays above all it gave out in
// earlier runs, by a file; without one, in this run only.
func openStamper(name string) (*noise.Stamper, error) {
	if name == "" {
		return noise.NewStamper(0, nil), nil
	}
	f := &stampFile{name: name}
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		f.written, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("stamp file %s holds no number: remove it", name)
		}
	}
	return noise.NewStamper(f.written, f.persist), nil
}

// A stampFile holds a number, in microseconds since 1970, that no stamp given
// out so far exceeds.
type stampFile struct {
	name string

	mu      sync.Mutex
	written uint64
}

// persist keeps the file above last. If it cannot be written, a later run
// with a clock set back is told so by its peers, and tries again.
func (f *stampFile) persist(last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last <= f.written {
		return
	}
	next := last + uint64(stampMargin.Microseconds())
	tmp, err := os.CreateTemp(filepath.Dir(f.name), filepath.Base(f.name)+".*")
	if err != nil {
		return
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = fmt.Fprintln(tmp, next)
	if err = errors.Join(err, tmp.Close()); err == nil && os.Rename(tmp.Name(), f.name) == nil {
		f.written = next
	}
}
