package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bdtnet/bdt/cmd/internal/command"
	"github.com/bdtnet/bdt/identity"
)

// maxSocketPath is the longest path of a Unix socket that every system takes: 104
// bytes with the zero byte on macOS.
const maxSocketPath = 103

// A place is where the lock and the socket of an identity lie.
type place struct{ dir, name string }

func (p place) lock() string   { return filepath.Join(p.dir, p.name+".lock") }
func (p place) socket() string { return filepath.Join(p.dir, p.name+socketSuffix) }

const socketSuffix = ".sock"

// placeName is what the files of an identity are named after: the last 16
// characters of its id, 93 bits of a hash.
func placeName(id identity.ID) string {
	s := id.String()
	return s[max(0, len(s)-16):]
}

// places returns where the files of an identity may lie: where this process would
// put them first. The second is where a process put them that was started without
// the session's environment.
func places(id identity.ID) []place {
	var list []place
	for _, dir := range directories() {
		list = append(list, place{dir, placeName(id)})
	}
	return list
}

// directories are where sockets may lie: directory bdt of the session's runtime
// directory (XDG Base Directory Specification) if there is one, and one of the
// user's own among the temporary files.
func directories() []string {
	var list []string
	longest := maxSocketPath - len("/") - 16 - len(socketSuffix)
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		if dir = filepath.Join(dir, "bdt"); len(dir) <= longest {
			list = append(list, dir)
		}
	}
	name := "bdt"
	if uid := os.Getuid(); uid >= 0 { // not on Windows, where the directory is the user's
		name = fmt.Sprintf("bdt-%d", uid)
	}
	for _, dir := range []string{os.TempDir(), "/tmp"} {
		if dir = filepath.Join(dir, name); len(dir) <= longest {
			return append(list, dir)
		}
	}
	return list
}

// claimPlace returns the first place of an identity whose directory is there or can be
// made, for this user alone.
func claimPlace(id identity.ID) (place, error) {
	var errs []error
	for _, p := range places(id) {
		err := os.Mkdir(p.dir, 0o700)
		if err == nil || errors.Is(err, fs.ErrExist) {
			if err = checkDirectory(p.dir); err == nil {
				return p, nil
			}
			return place{}, command.Advise(err, "remove %s, or set XDG_RUNTIME_DIR to a directory of your own", p.dir)
		}
		errs = append(errs, err)
	}
	err := fmt.Errorf("no directory for a socket: %w", errors.Join(errs...))
	return place{}, command.Advise(err, "set XDG_RUNTIME_DIR to a directory of your own with a short name")
}

// checkDirectory reports a directory to which others have access: they could put a
// socket of theirs into it.
func checkDirectory(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ownedByUs(info):
		return fmt.Errorf("%s belongs to another user, or others have access to it", dir)
	}
	return nil
}
