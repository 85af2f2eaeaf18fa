package flagvalue

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bdtnet/bdt/identity"
)

// A Place is where a local server listens: a TCP address or a Unix socket.
type Place struct {
	Network string // "tcp", "unix"
	Addr    string
}

// maxUnix is the longest path of a Unix socket that every system takes (macOS: 104
// with the zero byte).
const maxUnix = 103

// ParsePlace reads HOST:PORT, PORT for one on this machine alone, :PORT for all its
// addresses, or unix:PATH or an absolute path for a Unix socket.
func ParsePlace(s string) (Place, error) {
	path, isUnix := strings.CutPrefix(s, "unix:")
	if isUnix || filepath.IsAbs(s) {
		if path == "" || len(path) > maxUnix || strings.ContainsRune(path, 0) {
			return Place{}, fmt.Errorf("a Unix socket has a path of 1 to %d characters", maxUnix)
		}
		return Place{"unix", path}, nil
	}
	if !strings.Contains(s, ":") {
		s = "127.0.0.1:" + s
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Place{}, fmt.Errorf("%q is none of PORT, HOST:PORT and unix:PATH", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Place{}, fmt.Errorf("port %q is not a number up to 65535", port)
	}
	if strings.ContainsAny(host, "/ \x00") {
		return Place{}, fmt.Errorf("%q is no host", host)
	}
	return Place{"tcp", net.JoinHostPort(host, strconv.FormatUint(n, 10))}, nil
}

// Port returns the port of a TCP address, empty for a Unix socket.
func (p Place) Port() string {
	if p.Network != "tcp" {
		return ""
	}
	_, port, _ := net.SplitHostPort(p.Addr)
	return port
}

// Listen opens a listener there. A Unix socket is for this user alone; one that was
// left behind, at which nobody listens, is replaced.
func (p Place) Listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	ln, err := config.Listen(ctx, p.Network, p.Addr)
	if err == nil || p.Network != "unix" {
		return private(ln, err, p)
	}
	if info, e := os.Lstat(p.Addr); e != nil || info.Mode().Type() != fs.ModeSocket {
		return nil, err
	}
	if c, e := net.Dial("unix", p.Addr); e == nil {
		c.Close()
		return nil, err // somebody listens
	}
	if e := os.Remove(p.Addr); e != nil {
		return nil, err
	}
	ln, err = config.Listen(ctx, p.Network, p.Addr)
	return private(ln, err, p)
}

// private keeps other users from a Unix socket.
func private(ln net.Listener, err error, p Place) (net.Listener, error) {
	if err != nil || p.Network != "unix" {
		return ln, err
	}
	if err := os.Chmod(p.Addr, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// String returns what ParsePlace reads.
func (p Place) String() string {
	if p.Network == "unix" {
		return "unix:" + p.Addr
	}
	return p.Addr
}

// A Target is a device or an owner to reach, and the service to use; empty: not
// said.
type Target struct {
	Ticket  identity.Ticket
	Service string
}

// ID is the device's or owner's.
func (t Target) ID() identity.ID { return t.Ticket.Peer() }

// ParseTarget reads an id or a ticket, whose id a slash and a service may follow:
// ID, ID/SERVICE, bdt:ID?sn=…&s=SERVICE, bdt:ID/SERVICE?sn=….
func ParseTarget(s string) (Target, error) {
	head, query, hasQuery := strings.Cut(s, "?")
	head, service, named := strings.Cut(head, "/")
	if named {
		if err := CheckService(service); err != nil {
			return Target{}, err
		}
	}
	if hasQuery {
		head += "?" + query
	}
	ticket, err := identity.ParseTicket(head)
	if err != nil {
		return Target{}, err
	}
	t := Target{ticket, ticket.Service}
	switch {
	case named && ticket.Service != "" && ticket.Service != service:
		return Target{}, fmt.Errorf("it names two services, %s and %s", service, ticket.Service)
	case named:
		t.Service = service
	}
	if t := ticket.ID.Type(); t != identity.TypeDevice && t != identity.TypePeople {
		return Target{}, fmt.Errorf("it is of type %s, not a device or an owner", t)
	}
	return t, nil
}
