package netsim

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"
)

// fuzzGateway is a NAT with all of port mapping and few ports.
func fuzzGateway(f *testing.F) (*NAT, netip.Addr) {
	n := New(Config{Seed: 1})
	f.Cleanup(func() { n.Close() })
	cfg := FullCone
	cfg.PortMap = PortMapping{PCP: true, NATPMP: true, IGD: 2, MaxMappings: 8, ThirdParty: true}
	cfg.PortRange = PortRange{5000, 5015}
	return newBehind(n, cfg).nat, netip.MustParseAddr("198.18.1.2")
}

// sound fails unless the table of explicit mappings is within its bounds and agrees with itself.
func (pm *portMapper) sound(t *testing.T) {
	inner := 0
	for _, list := range pm.byInner {
		inner += len(list)
	}
	if len(pm.list) > pm.cfg.MaxMappings || len(pm.list) != len(pm.byOuter) || len(pm.list) != inner {
		t.Fatalf("%d mappings, %d by outer, %d by inner endpoint", len(pm.list), len(pm.byOuter), inner)
	}
	for _, e := range pm.list {
		if pm.byOuter[endpoint{e.proto, e.outer}] != e || e.inner.Port() == 0 || e.inner.Addr().Is6() ||
			!pm.nat.cfg.PortRange.contains(e.outer.Port()) || e.until <= pm.nat.net.at {
			t.Fatalf("mapping %+v", e)
		}
		if m := pm.nat.byOuter[endpoint{e.proto, e.outer}]; m != nil && m.inner != e.inner {
			t.Fatalf("%v is that of %v and, explicitly, of %v", e.outer, m.inner, e.inner)
		}
	}
}

// FuzzPortMap: what NAT-PMP and PCP say is answered as they have it, and the table stays sound.
func FuzzPortMap(f *testing.F) {
	m := pcpMap{client: "198.18.1.2", nonce: 1, protocol: udpNumber, lifetime: 600, internal: 5000}
	for _, s := range []string{
		unhex(f, "0000"), unhex(f, "0001 0000 1388 1b58 00000e10"), unhex(f, "0002 0000 0000 0000 00000000"),
		m.request(), m.request() + preferFailure + thirdParty("198.18.1.3") + "\x80\x00\x00\x01abcd", m.request()[:24],
	} {
		f.Add([]byte(s), uint16(1))
	}
	nat, from := fuzzGateway(f)
	pm := nat.portmap
	f.Fuzz(func(t *testing.T, b []byte, wait uint16) {
		nat.net.mu.Lock()
		defer nat.net.mu.Unlock()
		nat.net.at += time.Duration(wait) * time.Second
		// Meanwhile others send, and get mappings without asking.
		for i := range uint16(3) {
			inner := addr("198.18.1.3:5000")
			inner = netip.AddrPortFrom(inner.Addr(), inner.Port()+(wait+i)%16)
			p := newPacket(Packet{Proto: Protocol(wait >> 8 & 1), Src: inner, Dst: addr(s1Addr + ":1"), HopLimit: 64})
			if _, ok := nat.outward(p); ok && !nat.cfg.PortRange.contains(p.Src.Port()) {
				t.Fatalf("%v sends from %v", inner, p.Src)
			}
			p.release()
		}
		sent := bytes.Clone(b)
		got := pm.answer(from, b)
		if !bytes.Equal(sent, b) {
			t.Fatal("the request was changed")
		}
		switch {
		case got == nil:
		case len(b) < 2 || b[1] >= 128 || got[1] != b[1]|128:
			t.Fatalf("%x answers %x", got, b)
		case got[0] == natPMPVersion && len(got) != 8 && len(got) != 12 && len(got) != 16:
			t.Fatalf("NAT-PMP answers %x", got)
		case got[0] == pcpVersion && (len(got) < pcpHeaderSize || len(got) > pcpMaxSize || len(got)%4 != 0):
			t.Fatalf("PCP answers %x", got)
		}
		pm.sound(t)
	})
}

// FuzzSearch: a search is for something, and what is no search gets no answer.
func FuzzSearch(f *testing.F) {
	f.Add([]byte("M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\nST: ssdp:all\r\n\r\n"))
	f.Add([]byte("NOTIFY * HTTP/1.1\r\nNTS: ssdp:alive\r\n\r\n"))
	nat, _ := fuzzGateway(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		nat.net.mu.Lock()
		defer nat.net.mu.Unlock()
		target, ok := parseSearch(b)
		if got := nat.portmap.search(b); ok != (target != "") || !ok && got != nil || len(got) > 8 {
			t.Fatalf("target %q, %d answers", target, len(got))
		}
	})
}

// FuzzGatewayHTTP: every request gets one answer, and the table stays sound.
func FuzzGatewayHTTP(f *testing.F) {
	post := "POST /control HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
	envelope := `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:AddPortMapping xmlns:u="urn:schemas-upnp-org:service:WANIPConnection:2">` +
		"<NewRemoteHost></NewRemoteHost><NewExternalPort>5001</NewExternalPort><NewProtocol>UDP</NewProtocol><NewInternalPort>5000</NewInternalPort>" +
		"<NewInternalClient>198.18.1.2</NewInternalClient><NewEnabled>1</NewEnabled><NewPortMappingDescription>x</NewPortMappingDescription>" +
		"<NewLeaseDuration>0</NewLeaseDuration></u:AddPortMapping></s:Body></s:Envelope>"
	f.Add([]byte(post), []byte(envelope))
	f.Add([]byte("GET /igd.xml HTTP/1.1\r\nHost: x\r\n\r\n"), []byte(envelope[:100]))
	nat, from := fuzzGateway(f)
	pm := nat.portmap
	f.Fuzz(func(t *testing.T, request, body []byte) {
		nat.net.mu.Lock()
		defer nat.net.mu.Unlock()
		status, answer := pm.soap(from, body)
		if _, _, ok := parseSOAP(answer); !ok && len(answer) <= maxHTTPRequest || status != 200 && status != 500 {
			t.Fatalf("status %d: %s", status, answer)
		}
		if _, _, err := parseHTTP(request); err == io.ErrUnexpectedEOF {
			if _, whole := pm.http(from, request); whole && len(request) < maxHTTPRequest {
				t.Fatal("half a request is answered")
			}
		} else if answer, whole := pm.http(from, request); !whole || !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
			t.Fatalf("answer %q", answer)
		}
		pm.sound(t)
	})
}
