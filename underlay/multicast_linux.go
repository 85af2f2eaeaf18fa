package underlay

import "golang.org/x/sys/unix"

// onlyJoined has the socket receive from the groups that it has joined itself.
// Linux would otherwise give it those of all sockets of the machine.
func onlyJoined(fd uintptr, is4 bool) {
	if is4 {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	} else {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0) // Linux 4.20
	}
}
