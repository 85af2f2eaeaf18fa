package underlay

import (
	"context"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// message is a netlink message with a body of zeros.
func message(kind uint16, body int) []byte {
	b := make([]byte, (unix.SizeofNlMsghdr+body+3)&^3)
	binary.NativeEndian.PutUint32(b, uint32(unix.SizeofNlMsghdr+body))
	binary.NativeEndian.PutUint16(b[4:], kind)
	return b
}

func TestTellsOfChange(t *testing.T) {
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	lying := message(unix.RTM_NEWNEIGH, 0)
	binary.NativeEndian.PutUint32(lying, 3)
	endless := message(unix.RTM_NEWNEIGH, 0)
	binary.NativeEndian.PutUint32(endless, 1<<31)
	for _, c := range []struct {
		name string
		b    []byte
		want bool
	}{
		{"nothing", nil, false},
		{"an address", message(unix.RTM_NEWADDR, 8), true},
		{"no more address", message(unix.RTM_DELADDR, 8), true},
		{"a link", message(unix.RTM_NEWLINK, 16), true},
		{"a route", message(unix.RTM_DELROUTE, 12), true},
		{"a neighbour", message(unix.RTM_NEWNEIGH, 12), false},
		{"an address after a neighbour", join(message(unix.RTM_NEWNEIGH, 13), message(unix.RTM_NEWADDR, 8)), true},
		{"cut", message(unix.RTM_NEWADDR, 8)[:15], false},
		{"a length below a header", join(lying, message(unix.RTM_NEWADDR, 8)), false},
		{"a length beyond the end", join(endless, message(unix.RTM_NEWADDR, 8)), false},
	} {
		if got := tellsOfChange(c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func FuzzTellsOfChange(f *testing.F) {
	f.Add(message(unix.RTM_NEWADDR, 8))
	f.Add(append(message(unix.RTM_NEWNEIGH, 13), message(unix.RTM_DELROUTE, 8)...))
	f.Fuzz(func(t *testing.T, b []byte) { tellsOfChange(b) })
}

// The kernel tells of a link that comes up, in a network namespace of the test's own.
func TestWatchKernel(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("no network namespace: ", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changed, err := OS().Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []uint16{unix.IFF_UP | unix.IFF_LOOPBACK, unix.IFF_LOOPBACK} {
		ifr.SetUint16(flags)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
			t.Fatal(err)
		}
		select {
		case _, ok := <-changed:
			if !ok {
				t.Fatal("the channel is closed")
			}
		case <-time.After(10 * time.Second): // bounds a failing test only
			t.Fatalf("not told of flags %#x", flags)
		}
	}
	cancel()
	for range changed { // until it is closed
	}
}
