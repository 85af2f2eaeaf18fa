package stun

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
)

// The flags of CHANGE-REQUEST (RFC 5780 §7.2).
const (
	changeIP   = 1 << 2
	changePort = 1 << 1
)

// MaxAnswer is the length in bytes of the longest answer: three IPv6 addresses
// of 24 bytes each behind a header of 20, and FINGERPRINT of 8.
const MaxAnswer = 20 + 3*24 + 8

// messages recycles the message that a request is parsed into, or an answer
// built in.
var messages = sync.Pool{New: func() any { return new(stun.Message) }}

// A Request is a Binding request as a server takes it.
type Request struct {
	ID TransactionID
	Query
	// Unknown are attributes that the sender requires to be understood and that
	// we do not understand, 4 at most: the answer is AppendError with 420. PADDING is one.
	Unknown     []uint16
	fingerprint bool
}

// ParseRequest parses a Binding request; false for all else, which earns
// no answer (RFC 8489 §6.3).
func ParseRequest(packet []byte) (r Request, ok bool) {
	m := messages.Get().(*stun.Message)
	defer messages.Put(m)
	if err := stun.Decode(packet, m); err != nil || m.Type != stun.BindingRequest {
		return Request{}, false
	}
	r.fingerprint = m.Contains(stun.AttrFingerprint)
	if r.fingerprint && stun.Fingerprint.Check(m) != nil {
		return Request{}, false
	}
	r.ID = m.TransactionID
	for _, a := range m.Attributes {
		if !r.understand(a) && len(r.Unknown) < 4 {
			r.Unknown = append(r.Unknown, uint16(a.Type))
		}
	}
	return r, true
}

// understand takes what an attribute asks for, and reports false for one that
// the sender requires to be understood and is not. The authentication that we
// ask of nobody is passed over.
func (r *Request) understand(a stun.RawAttribute) bool {
	switch a.Type {
	case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256,
		stun.AttrRealm, stun.AttrNonce:
		return true
	case stun.AttrChangeRequest:
		if len(a.Value) != 4 {
			return false
		}
		flags := binary.BigEndian.Uint32(a.Value)
		r.Other = true
		r.ChangeIP, r.ChangePort = flags&changeIP != 0, flags&changePort != 0
		return true
	case stun.AttrResponsePort:
		if len(a.Value) != 4 && len(a.Value) != 2 { // with its padding, or as RFC 5780 §7.5 draws it
			return false
		}
		r.ResponsePort = binary.BigEndian.Uint16(a.Value)
		return r.ResponsePort != 0
	}
	return !a.Type.Required()
}

// AppendAnswer appends the answer to a request that came from an address: that
// address, and those of origin and other that are valid. With neither it is at most 44 bytes
// where the request has 20, with both at most 92 (FINGERPRINT, which is answered by its own, aside).
func (r *Request) AppendAnswer(dst []byte, from, origin, other netip.AddrPort) []byte {
	m := messages.Get().(*stun.Message)
	defer messages.Put(m)
	r.begin(m, stun.BindingSuccess)
	x := stun.XORMappedAddress{IP: net.IP(from.Addr().AsSlice()), Port: int(from.Port())}
	if x.AddTo(m) != nil {
		return nil
	}
	addAddress(m, stun.AttrResponseOrigin, origin)
	addAddress(m, stun.AttrOtherAddress, other)
	return r.end(dst, m)
}

// AppendRefusal appends the answer to a request whose Unknown attributes are
// not understood: error 420 (RFC 8489 §6.3.1).
func (r *Request) AppendRefusal(dst []byte) []byte {
	unknown := make(stun.UnknownAttributes, len(r.Unknown))
	for i, t := range r.Unknown {
		unknown[i] = stun.AttrType(t)
	}
	return r.refuse(dst, unknown)
}

// AppendNoChange appends the answer to a request for a change of address or port that
// the server does not have: error 420 for CHANGE-REQUEST (RFC 5780 §6.1).
func (r *Request) AppendNoChange(dst []byte) []byte {
	return r.refuse(dst, stun.UnknownAttributes{stun.AttrChangeRequest})
}

func (r *Request) refuse(dst []byte, unknown stun.UnknownAttributes) []byte {
	m := messages.Get().(*stun.Message)
	defer messages.Put(m)
	r.begin(m, stun.BindingError)
	// Without a phrase: the answer is not to be longer than it must.
	code := stun.ErrorCodeAttribute{Code: stun.CodeUnknownAttribute}
	if code.AddTo(m) != nil || unknown.AddTo(m) != nil {
		return nil
	}
	return r.end(dst, m)
}

func (r *Request) begin(m *stun.Message, t stun.MessageType) {
	m.Reset()
	m.Type, m.TransactionID = t, r.ID
	m.WriteHeader()
}

func (r *Request) end(dst []byte, m *stun.Message) []byte {
	if r.fingerprint && stun.Fingerprint.AddTo(m) != nil {
		return nil
	}
	return append(dst, m.Raw...)
}

// addAddress adds an address that is valid, laid out like MAPPED-ADDRESS (RFC 8489 §14.1).
func addAddress(m *stun.Message, t stun.AttrType, a netip.AddrPort) {
	if !a.IsValid() {
		return
	}
	var b [4 + 16]byte
	b[1] = 2
	if a.Addr().Is4() {
		b[1] = 1
	}
	binary.BigEndian.PutUint16(b[2:], a.Port())
	m.Add(t, b[:4+copy(b[4:], a.Addr().AsSlice())])
}
