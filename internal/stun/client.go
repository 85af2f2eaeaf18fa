package stun

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"
)

// A TransactionID ties a response to its request. It is random, so that only
// who saw the request can answer it (RFC 8489 §5).
type TransactionID [stun.TransactionIDSize]byte

// NewTransactionID returns a random one.
func NewTransactionID() (id TransactionID) {
	rand.Read(id[:])
	return id
}

// A Query is what a Binding request asks beside the mapped address (RFC 5780
// §7). The zero Query asks for nothing else.
type Query struct {
	ChangeIP     bool   // the answer is to come from the server's other address
	ChangePort   bool   // the answer is to come from the server's other port
	Other        bool   // tell the server's other address; the other two imply it
	ResponsePort uint16 // the answer is to go to this port of the asker's address; 0: where the request came from
}

// AppendRequest appends a Binding request that asks for the mapped address alone.
func AppendRequest(dst []byte, id TransactionID) []byte { return AppendQuery(dst, id, Query{}) }

// AppendQuery appends a Binding request. A server without another address or
// port answers one that asks for it with [Answer.Refused].
func AppendQuery(dst []byte, id TransactionID, q Query) []byte {
	m := stun.Message{Type: stun.BindingRequest, TransactionID: id}
	m.WriteHeader()
	if q.ChangeIP || q.ChangePort || q.Other {
		var flags uint32
		if q.ChangeIP {
			flags |= changeIP
		}
		if q.ChangePort {
			flags |= changePort
		}
		m.Add(stun.AttrChangeRequest, binary.BigEndian.AppendUint32(nil, flags))
	}
	if q.ResponsePort != 0 {
		m.Add(stun.AttrResponsePort, []byte{byte(q.ResponsePort >> 8), byte(q.ResponsePort), 0, 0})
	}
	return append(dst, m.Raw...)
}

// An Answer is what a server says to a Binding request. Nothing in it is
// proven but that whoever sent it saw the request.
type Answer struct {
	ID     TransactionID
	Mapped netip.AddrPort // where the server saw the request come from; valid unless Refused
	// Origin is where the answer came from as the server knows it, and Other
	// where it would come from with both changes (RFC 5780 §7.3, §7.4); the zero
	// AddrPort if the server does not say. Other has the unspecified address if it
	// is but another port of the address that was asked (docs/spec/sn.md §6).
	Origin, Other netip.AddrPort
	Refused       int // the error code of an error response, 420 for what the server does not do; 0: success
}

// ParseAnswer parses a success or error response.
func ParseAnswer(packet []byte) (Answer, error) {
	var m stun.Message
	if err := stun.Decode(packet, &m); err != nil {
		return Answer{}, fmt.Errorf("stun: %w", err)
	}
	a := Answer{ID: m.TransactionID}
	switch m.Type {
	case stun.BindingError:
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(&m); err != nil {
			return Answer{}, fmt.Errorf("stun: error code: %w", err)
		}
		if code.Code < 300 || code.Code > 699 { // RFC 8489 §14.8
			return Answer{}, fmt.Errorf("stun: error code %d is none", code.Code)
		}
		a.Refused = int(code.Code)
		return a, nil
	case stun.BindingSuccess:
	default:
		return Answer{}, fmt.Errorf("stun: %v is not the answer to a binding request", m.Type)
	}
	var err error
	if a.Mapped, err = xorMapped(&m); err != nil {
		return Answer{}, err
	}
	if a.Origin, err = address(&m, stun.AttrResponseOrigin); err != nil {
		return Answer{}, err
	}
	a.Other, err = address(&m, stun.AttrOtherAddress)
	return a, err
}

// ParseResponse returns which request a Binding success response answers, and
// where the server saw it come from.
func ParseResponse(packet []byte) (id TransactionID, mapped netip.AddrPort, err error) {
	a, err := ParseAnswer(packet)
	if err == nil && a.Refused != 0 {
		err = fmt.Errorf("stun: refused with code %d", a.Refused)
	}
	return a.ID, a.Mapped, err
}

// xorMapped returns the XOR-MAPPED-ADDRESS of a message.
func xorMapped(m *stun.Message) (netip.AddrPort, error) {
	var x stun.XORMappedAddress
	if err := x.GetFrom(m); err != nil {
		return netip.AddrPort{}, fmt.Errorf("stun: mapped address: %w", err)
	}
	addr, ok := netip.AddrFromSlice(x.IP)
	if !ok || x.Port <= 0 || x.Port > 0xffff {
		return netip.AddrPort{}, fmt.Errorf("stun: mapped address %v is none", x)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(x.Port)), nil
}

// address returns the value of an attribute that is laid out like
// MAPPED-ADDRESS (RFC 8489 §14.1), the zero AddrPort if it is not there.
func address(m *stun.Message, t stun.AttrType) (netip.AddrPort, error) {
	b, err := m.Get(t)
	if errors.Is(err, stun.ErrAttributeNotFound) {
		return netip.AddrPort{}, nil
	}
	if err == nil && len(b) > 4 {
		family, port := b[1], binary.BigEndian.Uint16(b[2:])
		ip, ok := netip.AddrFromSlice(b[4:])
		if ok && port != 0 && (family == 1 && ip.Is4() || family == 2 && ip.Is6()) {
			return netip.AddrPortFrom(ip.Unmap(), port), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("stun: %v is no address", t)
}
