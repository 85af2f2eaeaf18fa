package daemon

import (
	"net"

	"golang.org/x/sys/unix"
)

// sameUser reports whether the process at the other end of a Unix socket is this
// user's, or root's.
func sameUser(c *net.UnixConn, uid int) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	ok := false
	raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		ok = err == nil && (int(cred.Uid) == uid || cred.Uid == 0)
	})
	return ok
}
