// Package flagvalue is the value of a command-line flag that may be given
// several times: local addresses, public endpoints, super nodes. Each type
// implements pflag.Value; its error says what the flag takes.
package flagvalue

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/bdtnet/bdt/identity"
)

// Listen are local UDP addresses, written IP:PORT, or :PORT for every address
// of both families.
type Listen []netip.AddrPort

// Set adds what s says.
func (l *Listen) Set(s string) error {
	if text, ok := strings.CutPrefix(s, ":"); ok {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return fmt.Errorf("port %q is not a number up to 65535", text)
		}
		*l = append(*l,
			netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)),
			netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port)))
		return nil
	}
	addr, err := parseAddrPort(s)
	if err != nil {
		return err
	}
	*l = append(*l, addr)
	return nil
}

// String returns the addresses, joined by commas.
func (l *Listen) String() string { return join(*l) }

// Type names the value in help texts.
func (*Listen) Type() string { return "ADDR" }

// Endpoints are public addresses, written IP:PORT.
type Endpoints []netip.AddrPort

// Set adds what s says.
func (e *Endpoints) Set(s string) error {
	addr, err := parseAddrPort(s)
	if err != nil {
		return err
	}
	if addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() {
		return fmt.Errorf("%s is not an address that others can reach", addr)
	}
	*e = append(*e, addr)
	return nil
}

// String returns the addresses, joined by commas.
func (e *Endpoints) String() string { return join(*e) }

// Type names the value in help texts.
func (*Endpoints) Type() string { return "IP:PORT" }

// Refs are servers, written ID@HOST:PORT.
type Refs []identity.Ref

// Set adds what s says.
func (r *Refs) Set(s string) error {
	ref, err := identity.ParseRef(s)
	if err != nil {
		return fmt.Errorf("%w (it is the ref=… of the server's ready line)", err)
	}
	*r = append(*r, ref)
	return nil
}

// String returns the references, joined by commas.
func (r *Refs) String() string { return join(*r) }

// Type names the value in help texts.
func (*Refs) Type() string { return "REF" }

// parseAddrPort reads IP:PORT.
func parseAddrPort(s string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q is not IP:PORT", s)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

func join[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, ",")
}
