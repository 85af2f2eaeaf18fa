package identity

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// What a ticket may hold (spec §9).
const (
	MaxTicket          = 4 << 10 // characters; all lists full take 3,769
	MaxTicketSNs       = 8
	MaxTicketEndpoints = 8
	MaxService         = 64 // bytes of a service name

	ticketScheme = "bdt:"
)

// A Ticket is a URI that carries all that is needed to dial a peer or to fetch
// content:
//
//	bdt:ID?from=ID&sn=ID@HOST:PORT&ep=IP:PORT&s=SERVICE&d=DEVICE
//
// Everything but the ID is optional and only helps to reach it. Nothing in a
// ticket is trusted: the peer proves its id when dialled, content is hashed.
type Ticket struct {
	ID        ID               // the peer to dial or the content to fetch
	From      ID               // for content only: the device or owner to fetch it from
	SNs       []Ref            // super nodes that know the peer
	Endpoints []netip.AddrPort // where the peer may be reached directly
	Service   string           // for peers only: the service to dial
	Device    *Device          // the peer's own description
}

// Peer returns whom the ticket leads to: ID, or From if ID names content. It is
// zero for content with no source.
func (t Ticket) Peer() ID {
	if t.ID.Type().IsContent() {
		return t.From
	}
	return t.ID
}

// ParseTicket parses a ticket, with or without its scheme; a bare id is one.
func ParseTicket(s string) (Ticket, error) {
	var t Ticket
	if len(s) > MaxTicket {
		return t, fmt.Errorf("identity: ticket of %d characters, at most %d: %w", len(s), MaxTicket, ErrTooLarge)
	}
	if len(s) >= len(ticketScheme) && strings.EqualFold(s[:len(ticketScheme)], ticketScheme) {
		s = s[len(ticketScheme):]
	}
	text, query, hasQuery := strings.Cut(s, "?")
	var err error
	if t.ID, err = ParseID(text); err != nil {
		return Ticket{}, fmt.Errorf("ticket: %w", err)
	}
	if hasQuery {
		if err := t.parseQuery(query); err != nil {
			return Ticket{}, fmt.Errorf("ticket: %w", err)
		}
	}
	if err := t.Check(); err != nil {
		return Ticket{}, err
	}
	return t, nil
}

func (t *Ticket) parseQuery(query string) error {
	seen := make(map[string]bool)
	for param := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(param, "=")
		// Not QueryUnescape, which would turn + into a space.
		value, err := url.PathUnescape(value)
		if err != nil || value == "" {
			return fmt.Errorf("identity: parameter %q has no valid value: %w", param, ErrMalformed)
		}
		if seen[key] && key != "sn" && key != "ep" {
			return fmt.Errorf("identity: parameter %q twice: %w", key, ErrMalformed)
		}
		seen[key] = true
		if err := t.parseParam(key, value); err != nil {
			return fmt.Errorf("parameter %q: %w", key, err)
		}
	}
	return nil
}

func (t *Ticket) parseParam(key, value string) error {
	switch key {
	case "from":
		id, err := ParseID(value)
		t.From = id
		return err
	case "sn":
		ref, err := ParseRef(value)
		t.SNs = append(t.SNs, ref)
		return err
	case "ep":
		ap, err := netip.ParseAddrPort(value)
		if err != nil {
			return fmt.Errorf("identity: endpoint %q is not IP:PORT: %w", value, ErrMalformed)
		}
		t.Endpoints = append(t.Endpoints, ap)
		return nil
	case "s":
		t.Service = value
		return nil
	case "d":
		raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
		if err != nil {
			return fmt.Errorf("identity: device is not base64url: %w", ErrMalformed)
		}
		t.Device, err = ParseDevice(raw)
		return err
	}
	return fmt.Errorf("identity: not known to this version: %w", ErrMalformed)
}

// Check reports what would keep ParseTicket from accepting the ticket's String.
func (t Ticket) Check() error {
	err := cmp.Or(
		t.checkTarget(),
		checkRefs("super nodes", t.SNs, MaxTicketSNs),
		checkEndpoints(t.Endpoints, MaxTicketEndpoints),
		checkService(t.Service),
	)
	if err != nil {
		return fmt.Errorf("ticket: %w", err)
	}
	return nil
}

// checkTarget reports ids of the wrong type, and hints that lead to nobody.
func (t Ticket) checkTarget() error {
	peer, content := t.Peer(), t.ID.Type().IsContent()
	hints := len(t.SNs) + len(t.Endpoints)
	switch {
	case t.ID.Category() != categoryStandard || !content && !isPeer(t.ID):
		return fmt.Errorf("identity: a %v can be neither dialled nor fetched: %w", t.ID.Type(), ErrWrongType)
	case !content && !t.From.IsZero():
		return fmt.Errorf("identity: a source for a %v, which is not content: %w", t.ID.Type(), ErrMalformed)
	case content && !peer.IsZero() && !isPeer(peer):
		return fmt.Errorf("identity: source is a %v: %w", peer.Type(), ErrWrongType)
	case content && t.Service != "":
		return fmt.Errorf("identity: a service for content: %w", ErrMalformed)
	case peer.IsZero() && hints != 0:
		return fmt.Errorf("identity: addresses for content without a source: %w", ErrMalformed)
	case t.Device != nil && t.Device.id != peer:
		return fmt.Errorf("identity: ticket for %v holds device %v: %w", peer, t.Device.id, ErrWrongID)
	}
	return nil
}

// isPeer reports whether id names somebody who can be dialled.
func isPeer(id ID) bool {
	return id.is(TypeDevice) || id.is(TypePeople)
}

// checkService reports a service name with characters that would need escaping.
func checkService(s string) error {
	if len(s) > MaxService {
		return fmt.Errorf("identity: service name of %d bytes, at most %d: %w", len(s), MaxService, ErrTooLarge)
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._/", c) >= 0) {
			return fmt.Errorf("identity: service name %q holds other than letters, digits, - . _ /: %w", s, ErrMalformed)
		}
	}
	return nil
}

// bracketEscaper escapes what an IPv6 address needs and a URI's query may not
// hold (RFC 3986 §3.4).
var bracketEscaper = strings.NewReplacer("[", "%5B", "]", "%5D")

// String returns the ticket as a URI.
func (t Ticket) String() string {
	var params []string
	add := func(key, value string) {
		params = append(params, key+"="+bracketEscaper.Replace(value))
	}
	if !t.From.IsZero() {
		add("from", t.From.String())
	}
	for _, ref := range t.SNs {
		add("sn", ref.String())
	}
	for _, ap := range t.Endpoints {
		add("ep", ap.String())
	}
	if t.Service != "" {
		add("s", t.Service)
	}
	if t.Device != nil {
		add("d", base64.RawURLEncoding.EncodeToString(t.Device.Bytes()))
	}
	s := ticketScheme + t.ID.String()
	if len(params) != 0 {
		s += "?" + strings.Join(params, "&")
	}
	return s
}
