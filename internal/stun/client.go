package stun

import (
	"crypto/rand"
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

// AppendRequest appends a Binding request.
func AppendRequest(dst []byte, id TransactionID) []byte {
	m := stun.Message{Type: stun.BindingRequest, TransactionID: id}
	m.WriteHeader()
	return append(dst, m.Raw...)
}

// ParseResponse returns which request a Binding success response answers, and
// where the server saw it come from.
func ParseResponse(packet []byte) (id TransactionID, mapped netip.AddrPort, err error) {
	var m stun.Message
	if err := stun.Decode(packet, &m); err != nil {
		return id, mapped, fmt.Errorf("stun: %w", err)
	}
	if m.Type != stun.BindingSuccess {
		return id, mapped, fmt.Errorf("stun: %v is not a binding success", m.Type)
	}
	var x stun.XORMappedAddress
	if err := x.GetFrom(&m); err != nil {
		return id, mapped, fmt.Errorf("stun: mapped address: %w", err)
	}
	addr, ok := netip.AddrFromSlice(x.IP)
	if !ok || x.Port <= 0 || x.Port > 0xffff {
		return id, mapped, fmt.Errorf("stun: mapped address %v is none", x)
	}
	return m.TransactionID, netip.AddrPortFrom(addr.Unmap(), uint16(x.Port)), nil
}
