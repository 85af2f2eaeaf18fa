package netsim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"
	"github.com/huin/goupnp/ssdp"
)

// withIGD is a strict NAT that opens ports by UPnP.
func withIGD(version int) NATConfig {
	c := PortRestricted
	c.PortMap.IGD = version
	return c
}

// An ssdpHost has goupnp search from a simulated host.
type ssdpHost struct {
	group, answers *peer
}

func newSSDPHost(t *testing.T, h *Host) ssdpHost {
	group := reading(t, Must(h.ListenMulticast("eth0", ssdpGroup)))
	return ssdpHost{group, listen(t, h, "0.0.0.0:1900")}
}

// Do implements goupnp's HTTPUClient.
func (s ssdpHost) Do(r *http.Request, wait time.Duration, times int) (all []*http.Response, err error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.Method, r.URL.RequestURI())
	_ = r.Header.Write(&b)
	b.WriteString("\r\n")
	s.answers.drain()
	for range times {
		s.group.send(netip.MustParseAddrPort(r.Host), b.String())
	}
	time.Sleep(wait)
	for _, d := range s.answers.drain() {
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(d.Data)), r)
		if err != nil {
			return nil, err
		}
		all = append(all, resp)
	}
	return all, nil
}

// httpOf is an HTTP client on a simulated host.
func httpOf(t *testing.T, h *Host) *http.Client {
	tr := &http.Transport{DialContext: h.DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute}
}

// igdOf has goupnp find the gateway of a host, and returns its clients for it.
func igdOf[C any](t *testing.T, h *Host, target string, from func(*goupnp.RootDevice, *url.URL) ([]C, error)) C {
	t.Helper()
	found, err := ssdp.SSDPRawSearch(newSSDPHost(t, h), target, 2, 3)
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	loc := Must(found[0].Location())
	goupnp.HTTPClientDefault = httpOf(t, h)
	defer func() { goupnp.HTTPClientDefault = http.DefaultClient }()
	root, err := goupnp.DeviceByURL(loc)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := from(root, loc)
	if err != nil || len(clients) != 1 {
		t.Fatalf("%d services, %v", len(clients), err)
	}
	return clients[0]
}

// wantFault expects a UPnP error.
func wantFault(t *testing.T, err error, code soapError) {
	t.Helper()
	f, ok := errors.AsType[*soap.SOAPFaultError](err)
	if !ok || f.Detail.UPnPError.Errorcode != int(code) || f.Detail.UPnPError.ErrorDescription == "" {
		t.Errorf("error %v, want %d", err, code)
	}
}

// Somebody else's client finds an InternetGatewayDevice of version 2 and uses it.
func TestIGD2(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withIGD(2))
		s := listen(t, x.s1, s1Addr+":1")
		a, b := listen(t, x.a, "0.0.0.0:5000"), listen(t, x.b, "0.0.0.0:5000")
		c := igdOf(t, x.a, internetgateway2.URN_WANIPConnection_2, internetgateway2.NewWANIPConnection2ClientsFromRootDevice)
		c.SOAPClient.HTTPClient = *httpOf(t, x.a)
		other := igdOf(t, x.b, internetgateway2.URN_WANIPConnection_2, internetgateway2.NewWANIPConnection2ClientsFromRootDevice)
		other.SOAPClient.HTTPClient = *httpOf(t, x.b)

		if got, err := c.GetExternalIPAddress(); err != nil || got != natAddr {
			t.Fatalf("external address %q, %v", got, err)
		}
		if err := c.AddPortMapping("", 7000, "UDP", 5000, "198.18.1.2", true, "a <game>", 3600); err != nil {
			t.Fatal(err)
		}
		s.send(addr(natAddr+":7000"), "in")
		a.send(a.want("in").Addr, "out")
		if got := s.want("out").Addr; got != addr(natAddr+":7000") {
			t.Errorf("answered from %v", got)
		}
		inner, client, enabled, text, lease, err := c.GetSpecificPortMappingEntry("", 7000, "UDP")
		if err != nil || inner != 5000 || client != "198.18.1.2" || !enabled || text != "a <game>" || lease < 3590 || lease > 3600 {
			t.Errorf("mapping %d %s %t %q %d, %v", inner, client, enabled, text, lease, err)
		}

		// What others may not, and what nobody may.
		wantFault(t, other.AddPortMapping("", 7000, "UDP", 5000, "198.18.1.3", true, "", 3600), soapConflict)
		wantFault(t, other.AddPortMapping("", 7001, "UDP", 5000, "198.18.1.2", true, "", 3600), soapNotAuthorized)
		wantFault(t, other.DeletePortMapping("", 7000, "UDP"), soapNotAuthorized)
		wantFault(t, c.AddPortMapping("", 80, "TCP", 80, "198.18.1.2", true, "", 3600), soapNotAuthorized)
		wantFault(t, c.AddPortMapping("", 0, "TCP", 80, "198.18.1.2", true, "", 3600), soapNoWildcardPort)
		wantFault(t, c.AddPortMapping("", 8000, "TCP", 0, "198.18.1.2", true, "", 3600), soapNoWildcardInPort)
		wantFault(t, c.AddPortMapping(s1Addr, 8000, "TCP", 80, "198.18.1.2", true, "", 3600), soapNoRemoteHost)
		wantFault(t, c.AddPortMapping("", 8000, "SCTP", 80, "198.18.1.2", true, "", 3600), soapInvalidArgs)
		wantFault(t, c.AddPortMapping("", 8000, "TCP", 80, "printer", true, "", 3600), soapInvalidArgs)
		wantFault(t, c.DeletePortMapping("", 7000, "TCP"), soapNoSuchEntry)
		_, err = c.GetListOfPortMappings(1, 2, "UDP", true, 9)
		wantFault(t, err, soapInvalidAction)

		// Another port where that one is taken.
		port, err := other.AddAnyPortMapping("", 7000, "UDP", 5000, "198.18.1.3", true, "", 0)
		if err != nil || port == 7000 {
			t.Fatalf("any port: %d, %v", port, err)
		}
		s.send(netip.AddrPortFrom(netip.MustParseAddr(natAddr), port), "any")
		b.want("any")
		_, ext, proto, _, client, _, _, lease, err := c.GetGenericPortMappingEntry(1)
		if err != nil || ext != port || proto != "UDP" || client != "198.18.1.3" || lease > 604800 || lease < 604790 {
			t.Errorf("second mapping: %d %s %s %d, %v", ext, proto, client, lease, err)
		}
		_, _, _, _, _, _, _, _, err = c.GetGenericPortMappingEntry(2)
		wantFault(t, err, soapIndexInvalid)

		// The same port of the same host may be mapped anew, and be deleted.
		if err := c.AddPortMapping("", 7000, "UDP", 5001, "198.18.1.2", true, "", 3600); err != nil {
			t.Fatal(err)
		}
		s.send(addr(natAddr+":7000"), "elsewhere")
		a.wantNone()
		if err := c.DeletePortMapping("", 7000, "UDP"); err != nil {
			t.Fatal(err)
		}
		_, _, _, _, _, err = c.GetSpecificPortMappingEntry("", 7000, "UDP")
		wantFault(t, err, soapNoSuchEntry)
	})
}

// A device of version 1, with a mapping of TCP that does not end until the NAT restarts.
func TestIGD1(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withIGD(1))
		c := igdOf(t, x.a, internetgateway2.URN_WANIPConnection_1, internetgateway2.NewWANIPConnection1ClientsFromRootDevice)
		c.SOAPClient.HTTPClient = *httpOf(t, x.a)
		if err := c.AddPortMapping("", 8080, "TCP", 80, "198.18.1.2", true, "web", 0); err != nil {
			t.Fatal(err)
		}
		ln := Must(x.a.Listen("tcp", ":80"))
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte("hello"))
				conn.Close()
			}
		}()
		time.Sleep(30 * 24 * time.Hour)
		dial := func() (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			conn, err := x.s1.DialContext(ctx, "tcp", natAddr+":8080")
			if err != nil {
				return "", err
			}
			defer conn.Close()
			b, err := io.ReadAll(conn)
			return string(b), err
		}
		if got, err := dial(); got != "hello" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, _, _, _, lease, err := c.GetSpecificPortMappingEntry("", 8080, "TCP"); err != nil || lease != 0 {
			t.Errorf("lease %d, %v", lease, err)
		}
		x.nat.Reset()
		if got, err := dial(); err == nil {
			t.Errorf("got %q after the restart", got)
		}
		_, _, _, _, _, err := c.GetSpecificPortMappingEntry("", 8080, "TCP")
		wantFault(t, err, soapNoSuchEntry)
	})
}

// What a search finds, and that the device says of itself when it starts.
func TestSSDP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withIGD(2))
		h := newSSDPHost(t, x.a)
		time.Sleep(5 * time.Minute)
		alive := h.group.drain()
		for _, d := range alive {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(d.Data)))
			if err != nil || r.Method != "NOTIFY" || r.Header.Get("Nts") != "ssdp:alive" || r.Header.Get("Location") != "http://198.18.1.1:5000/igd.xml" {
				t.Errorf("announced: %q, %v", d.Data, err)
			}
		}
		if len(alive) != 3*8 {
			t.Errorf("%d announcements", len(alive))
		}
		for target, want := range map[string]int{
			"ssdp:all": 8, "upnp:rootdevice": 1, "uuid:" + x.nat.portmap.uuid(1): 1,
			"urn:schemas-upnp-org:device:InternetGatewayDevice:2": 1, "urn:schemas-upnp-org:device:InternetGatewayDevice:1": 1,
			"urn:schemas-upnp-org:device:InternetGatewayDevice:3": 0, "urn:schemas-upnp-org:device:Printer:1": 0, "uuid:x": 0,
		} {
			got, err := ssdp.SSDPRawSearch(h, target, 1, 1)
			if err != nil || len(got) != want {
				t.Errorf("search for %s found %d, %v; want %d", target, len(got), err, want)
			}
		}
		for _, other := range []string{"", "M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n", "NOTIFY * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nST: ssdp:all\r\n\r\n"} {
			h.group.send(ssdpGroup, other)
			h.answers.wantNone()
		}
	})
}

// The HTTP of the gateway: requests in pieces, none, too many, too large.
func TestGatewayHTTP(t *testing.T) {
	simulate(t, func(t *testing.T, n *Network) {
		x := newBehind(n, withIGD(2))
		ctx := t.Context()
		clients := func() int {
			n.mu.Lock()
			defer n.mu.Unlock()
			return x.nat.portmap.clients
		}
		dial := func() io.ReadWriteCloser { return Must(x.a.DialContext(ctx, "tcp", gatewayAddr+":5000")) }
		for _, c := range []struct{ request, status string }{
			{"GET /igd.xml HTTP/1.1\r\nHost: x\r\n\r\n", "200"},
			{"GET /wanip.xml HTTP/1.0\r\n\r\n", "200"},
			{"GET /control HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
			{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
			{"POST /control HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "500"},
			{"POST /control HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "500"},
			{"rubbish\r\n\r\n", "400"},
			{"POST /control HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + strings.Repeat("x", maxHTTPRequest), "413"},
		} {
			conn := dial()
			for b := []byte(c.request); len(b) > 0; {
				k := min(len(b), max(1, len(c.request)/5))
				_, _ = conn.Write(b[:k])
				b = b[k:]
				time.Sleep(50 * time.Millisecond)
			}
			got, err := io.ReadAll(conn)
			if !strings.HasPrefix(string(got), "HTTP/1.1 "+c.status) {
				t.Errorf("%.40q: got %.80q, %v; want %s", c.request, got, err, c.status)
			}
			conn.Close()
		}
		// Connections that ask nothing are few, and not for long.
		var open []io.ReadWriteCloser
		for range maxHTTPClients + 5 {
			open = append(open, dial())
		}
		settle()
		if clients() != maxHTTPClients {
			t.Errorf("%d clients", clients())
		}
		time.Sleep(httpTimeout)
		settle()
		if clients() != 0 {
			t.Errorf("%d clients after all that time", clients())
		}
		for _, c := range open {
			c.Close()
		}
		// Who leaves is gone, and from outside nobody gets in.
		dial().Close()
		settle()
		if clients() != 0 {
			t.Errorf("%d clients that have left", clients())
		}
		// After a restart it knows nothing of its connections.
		conn := dial()
		x.nat.Reboot(time.Second)
		if clients() != 0 {
			t.Errorf("%d clients after the restart", clients())
		}
		settle()
		_, _ = conn.Write([]byte("GET"))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v after the restart", err)
		}
		conn.Close()
		out, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := x.s1.DialContext(out, "tcp", natAddr+":5000"); err == nil {
			t.Error("the gateway listens outside")
		}
	})
}
