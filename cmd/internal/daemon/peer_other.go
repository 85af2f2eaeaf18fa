//go:build !linux

package daemon

import "net"

// sameUser returns true: the directory of the socket keeps others out.
func sameUser(*net.UnixConn, int) bool { return true }
