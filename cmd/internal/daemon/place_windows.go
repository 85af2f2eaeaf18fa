package daemon

import (
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// ownedByUs returns true: the directory lies in the user's profile.
func ownedByUs(fs.FileInfo) bool { return true }

// tryLock takes the lock of an open file, which ends with it or with the process. It
// reports whether it was free. The byte that is locked lies beyond the content, which
// others have to read.
func tryLock(f *os.File) (bool, error) {
	at := &windows.Overlapped{Offset: 1 << 20}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if err == windows.ERROR_LOCK_VIOLATION {
		return false, nil
	}
	return err == nil, err
}
