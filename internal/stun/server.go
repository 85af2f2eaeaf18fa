package stun

import (
	"net"
	"net/netip"
	"sync"

	"github.com/pion/stun/v3"
)

// messages recycles the message that a request is parsed into and the one
// that its answer is built in.
var messages = sync.Pool{New: func() any { return new(pair) }}

type pair struct{ request, answer stun.Message }

// AppendAnswer appends the answer to a STUN packet from the given source to dst: a
// Binding request gets the address it came from (RFC 8489 §6.3.1). It returns
// nil for all else. An answer is at most 44 bytes where the request has 20; no
// other reply to strangers is longer than what it answers.
func AppendAnswer(dst, packet []byte, from netip.AddrPort) []byte {
	p := messages.Get().(*pair)
	defer messages.Put(p)
	req, ans := &p.request, &p.answer
	if err := stun.Decode(packet, req); err != nil || req.Type != stun.BindingRequest {
		return nil
	}
	if req.Contains(stun.AttrFingerprint) && stun.Fingerprint.Check(req) != nil {
		return nil
	}
	ans.Reset()
	ans.TransactionID = req.TransactionID
	setters := make([]stun.Setter, 0, 3)
	if unknown := unknownAttributes(req); len(unknown) > 0 {
		ans.Type = stun.BindingError
		setters = append(setters, stun.ErrorCodeAttribute{Code: stun.CodeUnknownAttribute}, unknown)
	} else {
		ans.Type = stun.BindingSuccess
		ip := net.IP(from.Addr().AsSlice())
		setters = append(setters, &stun.XORMappedAddress{IP: ip, Port: int(from.Port())})
	}
	if req.Contains(stun.AttrFingerprint) {
		setters = append(setters, stun.Fingerprint)
	}
	ans.WriteHeader()
	for _, s := range setters {
		if s.AddTo(ans) != nil {
			return nil
		}
	}
	return append(dst, ans.Raw...)
}

// unknownAttributes returns those attributes of a request that the sender
// requires to be understood and that we do not: all, except those of the
// authentication that we ask of nobody. At most 4 are named.
func unknownAttributes(req *stun.Message) stun.UnknownAttributes {
	var unknown stun.UnknownAttributes
	for _, a := range req.Attributes {
		switch a.Type {
		case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256,
			stun.AttrRealm, stun.AttrNonce:
			continue
		}
		if a.Type.Required() && len(unknown) < 4 {
			unknown = append(unknown, a.Type)
		}
	}
	return unknown
}
