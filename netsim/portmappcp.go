package netsim

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"
)

const (
	pcpVersion  = 2
	pcpResponse = 128 // the R bit beside the opcode

	pcpAnnounceOp = 0
	pcpMapOp      = 1

	pcpHeaderSize = 24
	pcpMapSize    = 36
	pcpMaxSize    = 1100 // RFC 6887 §7
)

// A pcpResult is a result code of RFC 6887 §7.4.
type pcpResult uint8

const (
	pcpSuccess             pcpResult = 0
	pcpUnsuppVersion       pcpResult = 1
	pcpNotAuthorized       pcpResult = 2
	pcpMalformedRequest    pcpResult = 3
	pcpUnsuppOpcode        pcpResult = 4
	pcpUnsuppOption        pcpResult = 5
	pcpMalformedOption     pcpResult = 6
	pcpNetworkFailure      pcpResult = 7
	pcpNoResources         pcpResult = 8
	pcpUnsuppProtocol      pcpResult = 9
	pcpCannotProvide       pcpResult = 11
	pcpAddressMismatch     pcpResult = 12
	pcpShortError                    = 30 * time.Second // how long an error that may pass holds
	pcpLongError                     = 30 * time.Minute
	pcpOptionThirdParty              = 1
	pcpOptionPreferFailure           = 2
	pcpOptionalOptions               = 128 // from here on a server may ignore what it does not know
)

// lifetime returns how long an error holds (RFC 6887 §7.4).
func (r pcpResult) lifetime() time.Duration {
	switch r {
	case pcpNetworkFailure, pcpNoResources, pcpCannotProvide:
		return pcpShortError
	}
	return pcpLongError
}

var pcpResultOf = [...]pcpResult{
	granted:       pcpSuccess,
	notAuthorized: pcpNotAuthorized,
	noNetwork:     pcpNetworkFailure,
	noResources:   pcpNoResources,
	notThatPort:   pcpCannotProvide,
}

// A pcpRequest is a request of RFC 6887 §7.1, and the data of a MAP request, §11.1.
//
//	0 version, 1 R and opcode, 2 reserved (2), 4 lifetime in seconds (4), 8 client's address (16)
//	24 nonce (12), 36 protocol, 37 reserved (3), 40 internal port (2), 42 external port (2), 44 external address (16)
//
// Options follow: code, reserved, length (2), data, padded to four bytes.
type pcpRequest struct {
	op                 uint8
	lifetime           uint32
	client             netip.Addr
	nonce              nonce
	protocol           uint8 // as in an IP header
	internal, external uint16
	suggested          netip.Addr // unspecified where any will do
	thirdParty         netip.Addr // of THIRD_PARTY
	preferFailure      bool
	options            []byte // those that were processed, as they came
}

// parsePCP reads a request. ok is false for what gets no answer: a response, or what has no
// opcode.
func parsePCP(b []byte) (r pcpRequest, result pcpResult, ok bool) {
	if len(b) < 2 || b[1]&pcpResponse != 0 {
		return r, 0, false
	}
	r.op = b[1]
	switch {
	case b[0] != pcpVersion:
		return r, pcpUnsuppVersion, true
	case len(b) < pcpHeaderSize || len(b) > pcpMaxSize || len(b)%4 != 0:
		return r, pcpMalformedRequest, true
	}
	r.lifetime = binary.BigEndian.Uint32(b[4:])
	r.client = pcpAddr(b[8:])
	b = b[pcpHeaderSize:]
	switch r.op {
	case pcpAnnounceOp:
	case pcpMapOp:
		if len(b) < pcpMapSize {
			return r, pcpMalformedRequest, true
		}
		copy(r.nonce[:], b)
		r.protocol = b[12]
		r.internal = binary.BigEndian.Uint16(b[16:])
		r.external = binary.BigEndian.Uint16(b[18:])
		r.suggested = pcpAddr(b[20:])
		b = b[pcpMapSize:]
	default:
		return r, pcpUnsuppOpcode, true
	}
	return r, r.parseOptions(b), true
}

// parseOptions reads what follows the data of the opcode (RFC 6887 §7.3).
func (r *pcpRequest) parseOptions(b []byte) pcpResult {
	for len(b) > 0 {
		code, size := b[0], int(binary.BigEndian.Uint16(b[2:])) // b has a multiple of four bytes
		whole := 4 + (size+3)/4*4
		if whole > len(b) {
			return pcpMalformedOption
		}
		data := b[4 : 4+size]
		switch {
		case code == pcpOptionThirdParty && r.op == pcpMapOp:
			if size != 16 || r.thirdParty.IsValid() {
				return pcpMalformedOption
			}
			r.thirdParty = pcpAddr(data)
		case code == pcpOptionPreferFailure && r.op == pcpMapOp:
			if size != 0 || r.preferFailure {
				return pcpMalformedOption
			}
			r.preferFailure = true
		case code < pcpOptionalOptions:
			return pcpUnsuppOption
		default:
			b = b[whole:]
			continue
		}
		r.options = append(r.options, b[:whole]...)
		b = b[whole:]
	}
	return pcpSuccess
}

// pcpAddr reads an address: IPv4 is mapped into IPv6 (RFC 6887 §5).
func pcpAddr(b []byte) netip.Addr { return netip.AddrFrom16([16]byte(b)).Unmap() }

// pcpHeader begins a response: version, R and opcode, reserved, result, lifetime (4), epoch (4),
// reserved (12).
func (pm *portMapper) pcpHeader(op uint8, result pcpResult, life time.Duration) []byte {
	b := append(make([]byte, 0, pcpHeaderSize+pcpMapSize), pcpVersion, op|pcpResponse, 0, byte(result))
	b = binary.BigEndian.AppendUint32(b, uint32(life/time.Second))
	b = binary.BigEndian.AppendUint32(b, pm.epoch())
	return append(b, make([]byte, 12)...)
}

// pcpAnnounce is the response that nobody asked for (RFC 6887 §14.1).
func (pm *portMapper) pcpAnnounce() []byte { return pm.pcpHeader(pcpAnnounceOp, pcpSuccess, 0) }

// pcp answers a datagram of a host, or returns nil.
func (pm *portMapper) pcp(from netip.Addr, b []byte) []byte {
	r, result, ok := parsePCP(b)
	if !ok {
		return nil
	}
	life := result.lifetime()
	var e *explicitMapping
	switch {
	case result != pcpSuccess:
	case r.client != from:
		result, life = pcpAddressMismatch, pcpLongError // there is a NAT between
	case r.op == pcpAnnounceOp:
		return pm.pcpAnnounce()
	default:
		e, result, life = pm.pcpMap(from, r)
	}
	if result != pcpSuccess {
		return pm.pcpError(b, r.op, result, life)
	}
	resp := slices.Concat(pm.pcpHeader(r.op, pcpSuccess, life), b[pcpHeaderSize:pcpHeaderSize+pcpMapSize])
	outer := netip.AddrPortFrom(r.suggested, r.external)
	if e != nil {
		outer = e.outer
	}
	binary.BigEndian.PutUint16(resp[pcpHeaderSize+18:], outer.Port())
	a := outer.Addr().As16()
	copy(resp[pcpHeaderSize+20:], a[:])
	return append(resp, r.options...)
}

// pcpError is an error response: a header and what followed that of the request (RFC 6887
// §8.2).
func (pm *portMapper) pcpError(b []byte, op uint8, result pcpResult, life time.Duration) []byte {
	resp := pm.pcpHeader(op, result, life)
	if len(b) > pcpHeaderSize {
		resp = append(resp, b[pcpHeaderSize:min(len(b), pcpMaxSize)]...)
	}
	for len(resp)%4 != 0 {
		resp = append(resp, 0)
	}
	return resp
}

// protocolOf returns the protocol with a number of IANA's.
func protocolOf(number uint8) (Protocol, bool) {
	switch number {
	case ipUDP:
		return UDP, true
	case ipTCP:
		return TCP, true
	}
	return 0, false
}

const (
	ipTCP = 6
	ipUDP = 17
)

// pcpMap does what a MAP request asks for (RFC 6887 §11.3). The mapping is nil where one was
// deleted.
func (pm *portMapper) pcpMap(from netip.Addr, r pcpRequest) (*explicitMapping, pcpResult, time.Duration) {
	refused := func(why pcpResult) (*explicitMapping, pcpResult, time.Duration) { return nil, why, why.lifetime() }
	proto, known := protocolOf(r.protocol)
	switch {
	case r.thirdParty.IsValid() && !pm.cfg.ThirdParty:
		return refused(pcpUnsuppOption) // RFC 6887 §13.1
	case r.thirdParty == from:
		return refused(pcpMalformedRequest)
	case r.protocol == 0 && r.internal != 0:
		return refused(pcpMalformedRequest)
	case !known || r.internal == 0: // all protocols, or all ports of one
		return refused(pcpUnsuppProtocol)
	case r.preferFailure && r.suggested.IsUnspecified() && r.external == 0:
		return refused(pcpMalformedOption) // RFC 6887 §13.2: nothing is preferred
	}
	host := from
	if r.thirdParty.IsValid() {
		host = r.thirdParty
		if out := pm.nat.routes.lookup(host); out == nil || out.link == pm.nat.uplink || out.link == pm.link {
			return refused(pcpNotAuthorized)
		}
	}
	req := mapRequest{
		by: byPCP, nonce: r.nonce, proto: proto, inner: netip.AddrPortFrom(host, r.internal),
		outer: netip.AddrPortFrom(r.suggested, r.external), exact: r.preferFailure,
	}
	if host.Is4() && !r.suggested.Is4() {
		req.outer = netip.AddrPortFrom(netip.IPv4Unspecified(), r.external)
	} else if host.Is6() && !pm.nat.cfg.Prefix64.IsValid() && r.suggested.Is4() {
		if r.preferFailure {
			return refused(pcpCannotProvide)
		}
		req.outer = netip.AddrPortFrom(netip.IPv6Unspecified(), r.external)
	}
	if req.exact && req.outer.Addr().IsUnspecified() {
		req.outer = netip.AddrPortFrom(pm.externalOf(req.inner, req.outer.Addr().Is4()), req.outer.Port())
	}
	if r.lifetime == 0 {
		e, why := pm.close(req)
		if why != granted {
			return nil, pcpResultOf[why], e.lifetime(pm.nat.net.at)
		}
		return nil, pcpSuccess, 0
	}
	req.life = pm.life(r.lifetime, minMapLifetime)
	e, why := pm.open(req)
	switch {
	case why == notAuthorized:
		return nil, pcpNotAuthorized, e.lifetime(pm.nat.net.at) // RFC 6887 §11.3
	case why != granted:
		return refused(pcpResultOf[why])
	}
	return e, pcpSuccess, req.life
}

// externalOf returns the external address that inner has in a family.
func (pm *portMapper) externalOf(inner netip.AddrPort, is4 bool) netip.Addr {
	if is4 && pm.nat.translates(netip.IPv4Unspecified()) {
		return pm.nat.external
	}
	return inner.Addr()
}
