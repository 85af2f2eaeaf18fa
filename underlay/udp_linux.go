package underlay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxReadBatch  = 64 // messages in one recvmmsg
	maxWriteBatch = 64 // messages in one sendmmsg
)

// linuxConn is a UDPConn over recvmmsg and sendmmsg.
//
// A written run goes to the kernel whole (UDP_SEGMENT). The path may refuse
// that (IPsec, a device without checksum offload); the run is then sent
// packet by packet.
type linuxConn struct {
	c        *net.UDPConn // owns the descriptor
	raw      syscall.RawConn
	local    netip.AddrPort
	features Features
	gsoOff   atomic.Bool // a device has refused runs
	reader   reader      // belongs to the one goroutine that reads

	// sendmmsg is the system call, except in tests that need a kernel that
	// refuses.
	sendmmsg func(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno)
}

func listenUDP(laddr netip.AddrPort) (UDPConn, error) { return listenLinux(laddr, false) }

// listenUDPGroup opens n sockets with SO_REUSEPORT (Linux 3.9), among which the kernel
// chooses by a hash of the addresses and ports. A first socket, without the option, finds
// out whether the address is another's: a group can be joined by any process of this
// user, unawares.
func listenUDPGroup(laddr netip.AddrPort, n int) ([]UDPConn, error) {
	first, err := listenLinux(laddr, false)
	if err != nil || n <= 1 {
		return []UDPConn{first}, err
	}
	laddr = netip.AddrPortFrom(laddr.Addr(), first.LocalAddr().Port())
	if err := first.Close(); err != nil {
		return nil, fmt.Errorf("underlay: listen udp %v: %w", laddr, err)
	}
	var group []UDPConn
	for range n {
		c, err := listenLinux(laddr, true)
		if err != nil {
			for _, c := range group {
				c.Close()
			}
			return nil, err
		}
		group = append(group, c)
	}
	return group, nil
}

func listenLinux(laddr netip.AddrPort, share bool) (UDPConn, error) {
	l := &linuxConn{sendmmsg: sendmmsg}
	c, err := listenNet(laddr, func(rc syscall.RawConn) {
		rc.Control(func(fd uintptr) {
			if share { // if it fails so will bind, which says more
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}
			l.features = setOptions(int(fd), laddr.Addr())
		})
	})
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("underlay: listen udp %v: %w", laddr, err)
	}
	l.c, l.raw, l.local = c, raw, localAddr(c)
	l.reader.recv = l.reader.recvmmsg
	return l, nil
}

// setOptions prepares a socket that is to be bound to laddr, and tells what it
// can do. Options that fail cost a feature or some speed, never the socket.
func setOptions(fd int, laddr netip.Addr) Features {
	set := func(level, opt, value int) bool {
		return unix.SetsockoptInt(fd, level, opt, value) == nil
	}
	// The FORCE variants pass the system's limit if we have the privilege.
	if !set(unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) {
		set(unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	if !set(unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) {
		set(unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	}
	// The standard library permits broadcasts; a transport between two
	// devices has no use for the subnet's broadcast address.
	set(unix.SOL_SOCKET, unix.SO_BROADCAST, 0)

	f := Features{HopLimit: true}
	// PROBE sets DF and ignores the kernel's idea of the path's MTU, which
	// anybody who can forge an ICMP message could lower (RFC 8899 section 4.6).
	if laddr.Is4() {
		set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		f.ECN = set(unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	} else {
		set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		f.ECN = set(unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	}
	if laddr.IsUnspecified() { // otherwise the destination is known
		if laddr.Is4() {
			set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		} else {
			set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		}
	}
	_, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT) // Linux 4.18
	f.GSO = err == nil
	f.GRO = set(unix.SOL_UDP, unix.UDP_GRO, 1) // Linux 5.0
	return f
}

func (l *linuxConn) LocalAddr() netip.AddrPort { return l.local }
func (l *linuxConn) Features() Features        { return l.features }
func (l *linuxConn) Close() error              { return l.c.Close() }

// SyscallConn gives access to the socket, for options that [UDPConn] does not
// have.
func (l *linuxConn) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// ReadBatch implements [UDPConn].
func (l *linuxConn) ReadBatch(ds []Datagram) (int, error) {
	if len(ds) == 0 {
		return 0, nil
	}
	r := &l.reader
	r.prepare(ds[:min(len(ds), maxReadBatch)])
	defer r.release()
	for range maxReadErrors {
		if err := l.raw.Read(r.recv); err != nil {
			return 0, fmt.Errorf("underlay: read udp %v: %w", l.local, err)
		}
		if r.errno == 0 {
			break
		}
	}
	if r.errno != 0 {
		return 0, fmt.Errorf("underlay: read udp %v: %w", l.local, r.errno)
	}
	for i := range r.n {
		r.take(i, &ds[i], l.local.Addr())
	}
	return r.n, nil
}

// A reader holds what the kernel fills for one recvmmsg. Its arrays are as
// long as the largest batch that was asked for.
type reader struct {
	msgs  []unix.Mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet6
	ctls  []control

	used  int                   // messages offered
	recv  func(fd uintptr) bool // recvmmsg as a value: made anew it would be allocated for each call
	n     int                   // messages filled
	errno syscall.Errno
}

// prepare points the messages at the buffers of ds.
func (r *reader) prepare(ds []Datagram) {
	if len(ds) > len(r.msgs) {
		r.msgs = make([]unix.Mmsghdr, len(ds))
		r.iovs = make([]unix.Iovec, len(ds))
		r.names = make([]unix.RawSockaddrInet6, len(ds))
		r.ctls = make([]control, len(ds))
	}
	for i := range ds {
		iov, h := &r.iovs[i], &r.msgs[i].Hdr
		iov.Base = unsafe.SliceData(ds[i].Data)
		iov.SetLen(len(ds[i].Data))
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		h.Iov = iov
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&r.ctls[i]))
		h.SetControllen(len(r.ctls[i].bytes()))
	}
	r.used = len(ds)
}

// recvmmsg makes the system call, for RawConn.Read: false means wait.
func (r *reader) recvmmsg(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&r.msgs[0])), uintptr(r.used), 0, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		case 0:
			r.n, r.errno = int(n), 0
		default:
			r.n, r.errno = 0, errno
		}
		return true
	}
}

// take makes an entry of message i, whose Data is the buffer it was read into.
// A datagram that was longer than the buffer is cut off.
func (r *reader) take(i int, d *Datagram, local netip.Addr) {
	m := &r.msgs[i]
	*d = Datagram{Data: d.Data[:m.Len], Addr: getSockaddr(&r.names[i])}
	if !local.IsUnspecified() {
		d.Local = local
	}
	parseControl(r.ctls[i].bytes()[:m.Hdr.Controllen], d)
	if d.SegmentSize >= len(d.Data) {
		d.SegmentSize = 0
	}
}

// release forgets the caller's buffers.
func (r *reader) release() {
	for i := range r.iovs[:r.used] {
		r.iovs[i].Base = nil
	}
}

// WriteBatch implements [UDPConn].
func (l *linuxConn) WriteBatch(ds []Datagram) (int, error) {
	w := writers.Get().(*writer)
	defer writers.Put(w)
	w.conn = l
	defer w.release()
	n := 0
	for n < len(ds) {
		k, err := l.writeSome(w, ds[n:])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeSome sends at least the first entry of ds, or returns its error.
func (l *linuxConn) writeSome(w *writer, ds []Datagram) (int, error) {
	w.used = 0
	for i := range ds[:min(len(ds), maxWriteBatch)] {
		d := &ds[i]
		err := checkEntry(d, l.local.Addr(), MaxSegments)
		run := segments(d) > 1
		switch {
		case err == nil && !(run && l.gsoOff.Load()):
			size := 0
			if run {
				size = d.SegmentSize
			}
			w.add(d, d.Data, size)
			continue
		case i > 0:
			// What is before it goes first.
		case err != nil:
			return 0, err
		default:
			return l.writeSplit(w, d)
		}
		break
	}
	n, err := w.send()
	switch {
	case err == nil:
		return n, nil
	case segments(&ds[0]) > 1 && l.refusesRuns(err):
		return l.writeSplit(w, &ds[0])
	}
	return 0, writeError(&ds[0], err)
}

// refusesRuns tells whether a run may have failed for being one. EIO is what
// the kernel says when the route's device cannot do without checksums or the
// route is IPsec; since it will say so again, the socket sends no more runs.
// EINVAL has other causes too (in this case segments longer than the MTU, on
// older kernels), so it is only acted upon.
func (l *linuxConn) refusesRuns(err error) bool {
	switch err {
	case syscall.Errno(unix.EIO):
		l.gsoOff.Store(true)
		return true
	case syscall.Errno(unix.EINVAL):
		return true
	}
	return false
}

// writeSplit sends a run packet by packet. It returns 1, or the error of the
// first packet that failed, after which it stops.
func (l *linuxConn) writeSplit(w *writer, d *Datagram) (int, error) {
	w.used = 0
	for b := d.Data; len(b) > 0; { // at most MaxSegments = maxWriteBatch
		k := min(d.SegmentSize, len(b))
		w.add(d, b[:k], 0)
		b = b[k:]
	}
	for w.used > 0 {
		n, err := w.send()
		if err != nil {
			return 0, writeError(d, err)
		}
		w.drop(n)
	}
	return 1, nil
}

// writers recycles the arrays for sendmmsg, 14 KiB each, among all sockets.
var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.control, w.write = w.tryOnce, w.tryAgain
	return w
}}

// A writer holds the messages of one sendmmsg. One goroutine uses it at a
// time.
type writer struct {
	conn  *linuxConn
	msgs  [maxWriteBatch]unix.Mmsghdr
	iovs  [maxWriteBatch]unix.Iovec
	names [maxWriteBatch]unix.RawSockaddrInet6
	ctls  [maxWriteBatch]control
	used  int // messages to send
	high  int // the most that used has been: what release has to clear

	control func(fd uintptr)      // tryOnce as a value, as in reader
	write   func(fd uintptr) bool // tryAgain as a value
	n       int                   // messages sent
	errno   syscall.Errno
}

// add adds a message with d's addresses and marks.
func (w *writer) add(d *Datagram, b []byte, segmentSize int) {
	i := w.used
	w.used++
	w.high = max(w.high, w.used)
	iov, h := &w.iovs[i], &w.msgs[i].Hdr
	iov.Base = unsafe.SliceData(b)
	iov.SetLen(len(b))
	h.Name = (*byte)(unsafe.Pointer(&w.names[i]))
	h.Namelen = putSockaddr(&w.names[i], d.Addr)
	h.Iov = iov
	h.SetIovlen(1)
	ctl := appendControl(w.ctls[i].bytes()[:0], d, segmentSize)
	h.Control = unsafe.SliceData(ctl)
	h.SetControllen(len(ctl))
}

// drop removes the first n messages.
func (w *writer) drop(n int) {
	copy(w.msgs[:], w.msgs[n:w.used])
	w.used -= n
}

// send sends messages from the first, and returns how many went, at least one,
// or the error of the first. It tries without the descriptor's write lock, so
// that concurrent writers meet only in the kernel, and takes it to wait for
// room in the socket's buffer.
func (w *writer) send() (int, error) {
	if err := w.conn.raw.Control(w.control); err != nil {
		return 0, err
	}
	if w.errno == unix.EAGAIN {
		if err := w.conn.raw.Write(w.write); err != nil {
			return 0, err
		}
	}
	if w.errno != 0 {
		return 0, w.errno
	}
	return w.n, nil
}

func (w *writer) tryOnce(fd uintptr) {
	w.n, w.errno = w.conn.sendmmsg(fd, w.msgs[:w.used])
}

func (w *writer) tryAgain(fd uintptr) bool {
	w.tryOnce(fd)
	return w.errno != unix.EAGAIN
}

// release forgets the callers' buffers and the socket.
func (w *writer) release() {
	for i := range w.iovs[:w.high] {
		w.iovs[i].Base = nil
	}
	w.high, w.used, w.conn = 0, 0, nil
}

func sendmmsg(fd uintptr, msgs []unix.Mmsghdr) (int, syscall.Errno) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), 0, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
