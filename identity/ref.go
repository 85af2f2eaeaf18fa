package identity

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// maxAddr is the longest HOST:PORT: a DNS name of 253 characters, a colon, and
// five digits.
const maxAddr = 253 + 1 + 5

// A Ref says where a server is and who it must prove to be: ID@HOST:PORT.
type Ref struct {
	ID   ID     // of a device
	Addr string // HOST:PORT, in the form that NewRef produces
}

// NewRef returns a reference to the server with the given device id at addr, a
// HOST:PORT whose host is a DNS name, an IPv4 address, or an IPv6 address in
// brackets. DNS names are folded to lower case, IP addresses to their shortest
// form (RFC 5952).
func NewRef(id ID, addr string) (Ref, error) {
	if !id.is(TypeDevice) {
		return Ref{}, fmt.Errorf("identity: server reference names a %v, not a device: %w", id.Type(), ErrWrongType)
	}
	addr, err := canonicalAddr(addr)
	if err != nil {
		return Ref{}, err
	}
	return Ref{id, addr}, nil
}

// ParseRef parses ID@HOST:PORT.
func ParseRef(s string) (Ref, error) {
	if len(s) > idTextLen+1+maxAddr {
		return Ref{}, fmt.Errorf("identity: server reference of %d characters: %w", len(s), ErrTooLarge)
	}
	text, addr, ok := strings.Cut(s, "@")
	if !ok {
		return Ref{}, fmt.Errorf("identity: server reference %q is not ID@HOST:PORT: %w", s, ErrMalformed)
	}
	id, err := ParseID(text)
	if err != nil {
		return Ref{}, fmt.Errorf("server reference: %w", err)
	}
	return NewRef(id, addr)
}

// String returns ID@HOST:PORT.
func (r Ref) String() string { return r.ID.String() + "@" + r.Addr }

// AddrPort returns the address of a reference whose host is an IP address; ok
// is false if it is a DNS name.
func (r Ref) AddrPort() (ap netip.AddrPort, ok bool) {
	ap, err := netip.ParseAddrPort(r.Addr)
	return ap, err == nil
}

// check reports a reference that NewRef would not have returned.
func (r Ref) check() error {
	canon, err := NewRef(r.ID, r.Addr)
	if err != nil {
		return err
	}
	if canon != r {
		return fmt.Errorf("identity: server address %q should be %q: %w", r.Addr, canon.Addr, ErrNotCanonical)
	}
	return nil
}

func canonicalAddr(s string) (string, error) {
	if len(s) > maxAddr {
		return "", fmt.Errorf("identity: server address of %d characters: %w", len(s), ErrTooLarge)
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.String(), checkAddrPort(ap)
	}
	host, port, ok := strings.Cut(s, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || n == 0 {
		return "", fmt.Errorf("identity: server address %q is not HOST:PORT with a port of 1 to 65535: %w", s, ErrMalformed)
	}
	host = strings.ToLower(host)
	if !isHostname(host) {
		return "", fmt.Errorf("identity: %q in server address is neither a DNS name nor an IP address: %w", host, ErrMalformed)
	}
	return host + ":" + strconv.FormatUint(n, 10), nil
}

// isHostname reports whether s is a DNS name in lower case (RFC 1123 §2.1, and
// the underscore that is used in practice). A name whose last label is a number
// is none: it would be a misspelt IPv4 address.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	var last string
	for label := range strings.SplitSeq(s, ".") {
		if len(label) < 1 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
		last = label
	}
	return strings.Trim(last, "0123456789") != ""
}

// checkAddrPort reports addresses at which nobody can be reached: no port,
// unspecified, multicast, broadcast, or meaningful on one host only (a zone).
func checkAddrPort(ap netip.AddrPort) error {
	a := ap.Addr()
	var what string
	switch {
	case ap.Port() == 0:
		what = "no port"
	case a.IsUnspecified() || !a.IsValid():
		what = "no host"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		what = "a multicast or broadcast address"
	case a.Zone() != "":
		what = "a zone"
	case a.Is4In6():
		what = "an IPv4 address written as IPv6"
	default:
		return nil
	}
	return fmt.Errorf("identity: endpoint %v has %s: %w", ap, what, ErrMalformed)
}

// appendAddrPort appends the binary form of an endpoint: 4 or 16 bytes of
// address and two of port, all in network order (spec §2).
func appendAddrPort(b []byte, ap netip.AddrPort) []byte {
	b = append(b, ap.Addr().AsSlice()...)
	return append(b, byte(ap.Port()>>8), byte(ap.Port()))
}

func parseAddrPort(b []byte) (netip.AddrPort, error) {
	if len(b) != 6 && len(b) != 18 {
		return netip.AddrPort{}, fmt.Errorf("identity: endpoint of %d bytes: %w", len(b), ErrMalformed)
	}
	n := len(b) - 2
	addr, _ := netip.AddrFromSlice(b[:n])
	ap := netip.AddrPortFrom(addr, uint16(b[n])<<8|uint16(b[n+1]))
	return ap, checkAddrPort(ap)
}

// wireRef is a Ref inside an object: [id, address] (spec §2).
type wireRef struct {
	_    struct{} `cbor:",toarray"`
	ID   ID
	Addr wireHost
}

// wireHost is a HOST:PORT inside an object: a byte string as appendAddrPort
// makes it if the host is an IP address, otherwise a text string.
type wireHost string

func (h wireHost) MarshalCBOR() ([]byte, error) {
	if ap, err := netip.ParseAddrPort(string(h)); err == nil {
		return cborEnc.Marshal(appendAddrPort(nil, ap))
	}
	return cborEnc.Marshal(string(h))
}

func (h *wireHost) UnmarshalCBOR(b []byte) error {
	var v any
	if err := cborDec.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case []byte:
		ap, err := parseAddrPort(v)
		*h = wireHost(ap.String())
		return err
	case string:
		*h = wireHost(v)
		return nil
	}
	return &cbor.UnmarshalTypeError{CBORType: fmt.Sprintf("%T", v), GoType: "server address"}
}

func wireRefs(refs []Ref) []wireRef {
	var w []wireRef
	for _, r := range refs {
		w = append(w, wireRef{ID: r.ID, Addr: wireHost(r.Addr)})
	}
	return w
}

func unwireRefs(w []wireRef) []Ref {
	var refs []Ref
	for _, r := range w {
		refs = append(refs, Ref{r.ID, string(r.Addr)})
	}
	return refs
}

// checkRefs reports a list of server references that is too long, repeats
// itself, or holds an invalid one. what names the list.
func checkRefs(what string, refs []Ref, limit int) error {
	if err := checkList(what, refs, limit); err != nil {
		return err
	}
	for _, r := range refs {
		if err := r.check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	return nil
}

// checkEndpoints is checkRefs for endpoints.
func checkEndpoints(eps []netip.AddrPort, limit int) error {
	if err := checkList("endpoints", eps, limit); err != nil {
		return err
	}
	for _, ap := range eps {
		if err := checkAddrPort(ap); err != nil {
			return err
		}
	}
	return nil
}

// checkList reports a list that exceeds its limit or holds an element twice.
func checkList[E comparable](what string, list []E, limit int) error {
	if len(list) > limit {
		return fmt.Errorf("identity: %d %s, at most %d: %w", len(list), what, limit, ErrTooLarge)
	}
	for i, e := range list {
		if slices.Contains(list[:i], e) {
			return fmt.Errorf("identity: %s repeat %v: %w", what, e, ErrMalformed)
		}
	}
	return nil
}
