package netsim

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	natPMPVersion  = 0
	natPMPResponse = 128 // added to the opcode

	natPMPAddressOp = 0
	natPMPMapUDP    = 1
	natPMPMapTCP    = 2

	natPMPAddressSize = 2 // of requests
	natPMPMapSize     = 12
)

// Result codes of RFC 6886 §3.5.
const (
	natPMPSuccess            = 0
	natPMPUnsupportedVersion = 1
	natPMPNotAuthorized      = 2
	natPMPNetworkFailure     = 3
	natPMPOutOfResources     = 4
	natPMPUnsupportedOpcode  = 5
)

// A natPMPRequest is a request of RFC 6886 §3.2 or §3.3. Bytes that follow it are ignored.
//
//	0 version, 1 opcode, 2 reserved (2), 4 internal port (2), 6 suggested external port (2), 8 lifetime in seconds (4)
type natPMPRequest struct {
	op                 uint8
	internal, external uint16
	lifetime           uint32
}

// parseNATPMP reads a request. It returns a result code, and false for what gets no answer: a
// response, or what is too short.
func parseNATPMP(b []byte) (r natPMPRequest, result uint16, ok bool) {
	if len(b) < natPMPAddressSize || b[1] >= natPMPResponse {
		return r, 0, false
	}
	r.op = b[1]
	switch {
	case b[0] != natPMPVersion:
		return r, natPMPUnsupportedVersion, true
	case r.op == natPMPAddressOp:
		return r, natPMPSuccess, true
	case r.op > natPMPMapTCP:
		return r, natPMPUnsupportedOpcode, true
	case len(b) < natPMPMapSize:
		return r, 0, false
	}
	r.internal = binary.BigEndian.Uint16(b[4:])
	r.external = binary.BigEndian.Uint16(b[6:])
	r.lifetime = binary.BigEndian.Uint32(b[8:])
	return r, natPMPSuccess, true
}

// natPMPHeader begins a response: version, opcode, result (2), seconds of the epoch (4).
func (pm *portMapper) natPMPHeader(op uint8, result uint16) []byte {
	b := append(make([]byte, 0, 16), natPMPVersion, op|natPMPResponse)
	b = binary.BigEndian.AppendUint16(b, result)
	return binary.BigEndian.AppendUint32(b, pm.epoch())
}

// natPMPAddress is the response that tells the external address, asked for or not.
func (pm *portMapper) natPMPAddress() []byte {
	if a := pm.nat.external; a.IsValid() {
		return append(pm.natPMPHeader(natPMPAddressOp, natPMPSuccess), a.AsSlice()...)
	}
	return append(pm.natPMPHeader(natPMPAddressOp, natPMPNetworkFailure), 0, 0, 0, 0)
}

// natPMP answers a datagram of a host, or returns nil.
func (pm *portMapper) natPMP(from netip.Addr, b []byte) []byte {
	r, result, ok := parseNATPMP(b)
	switch {
	case !ok:
		return nil
	case result != natPMPSuccess:
		return pm.natPMPHeader(r.op, result)
	case r.op == natPMPAddressOp:
		return pm.natPMPAddress()
	}
	proto := UDP
	if r.op == natPMPMapTCP {
		proto = TCP
	}
	result, external, life := pm.natPMPMap(from, proto, r)
	resp := pm.natPMPHeader(r.op, result)
	resp = binary.BigEndian.AppendUint16(resp, r.internal)
	resp = binary.BigEndian.AppendUint16(resp, external)
	return binary.BigEndian.AppendUint32(resp, uint32(life/time.Second))
}

// natPMPMap makes, renews or deletes a mapping (RFC 6886 §3.3, §3.4).
func (pm *portMapper) natPMPMap(from netip.Addr, proto Protocol, r natPMPRequest) (result, external uint16, life time.Duration) {
	req := mapRequest{
		by: byNATPMP, proto: proto, inner: netip.AddrPortFrom(from, r.internal),
		outer: netip.AddrPortFrom(netip.IPv4Unspecified(), r.external),
	}
	switch {
	case r.internal == 0 && r.lifetime == 0:
		pm.closeAll(byNATPMP, proto, from)
		return natPMPSuccess, 0, 0
	case r.internal == 0:
		return natPMPNotAuthorized, 0, 0
	case r.lifetime == 0:
		_, why := pm.close(req)
		return natPMPResult[why], 0, 0
	}
	req.life = pm.life(r.lifetime, time.Second)
	e, why := pm.open(req)
	if why != granted {
		return natPMPResult[why], 0, 0
	}
	return natPMPSuccess, e.outer.Port(), req.life
}

var natPMPResult = [...]uint16{
	granted:       natPMPSuccess,
	notAuthorized: natPMPNotAuthorized,
	noNetwork:     natPMPNetworkFailure,
	noResources:   natPMPOutOfResources,
	notThatPort:   natPMPOutOfResources,
}
