package underlay

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// watched are the groups of rtnetlink that are joined.
const watched = unix.RTMGRP_LINK |
	unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// netlinkBuffer holds one read: the kernel's messages are at most a page or
// 8 KiB, whichever is more. What is cut off has been preceded by what tells enough.
const netlinkBuffer = 16 << 10

func watch(ctx context.Context, n Network) (<-chan struct{}, error) {
	f, err := openNetlink()
	if err != nil {
		return poll(ctx, n, pollInterval), nil
	}
	changed := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, func() { f.Close() }) // ends the Read
	go func() {
		defer close(changed)
		defer f.Close()
		defer stop()
		if listen(f, changed) || ctx.Err() != nil {
			return
		}
		// The socket is of no use any more. It has never been seen to happen.
		for range poll(ctx, n, pollInterval) {
			signal(changed)
		}
	}()
	return changed, nil
}

// openNetlink returns a socket that gets what changes.
func openNetlink() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watched}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}

// listen signals changes until f is closed, and reports whether that is why it
// returns.
func listen(f *os.File, changed chan<- struct{}) (closed bool) {
	b := make([]byte, netlinkBuffer)
	for {
		n, err := f.Read(b)
		switch {
		case errors.Is(err, os.ErrClosed):
			return true
		case errors.Is(err, unix.ENOBUFS):
			signal(changed) // more changed than the socket's buffer holds
		case err != nil:
			return false
		case tellsOfChange(b[:n]):
			signal(changed)
		}
	}
}

// tellsOfChange reports whether a datagram from rtnetlink (rtnetlink(7)) holds a
// message of the groups. What does not parse is not looked at further.
func tellsOfChange(b []byte) bool {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK,
			unix.RTM_NEWADDR, unix.RTM_DELADDR,
			unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			return true
		}
		next := (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		if length < unix.SizeofNlMsghdr || next > len(b) {
			return false
		}
		b = b[next:]
	}
	return false
}
