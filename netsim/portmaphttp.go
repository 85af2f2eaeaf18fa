package netsim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"
)

const (
	igdPort            = 5000
	igdDescriptionPath = "/igd.xml"
	igdServicePath     = "/wanip.xml"
	igdControlPath     = "/control"

	maxHTTPRequest = 16 << 10 // bytes, with its body
	maxHTTPClients = 64       // connections at a time
	httpTimeout    = 30 * time.Second
)

// An httpClient is a connection to the gateway that has not asked yet.
type httpClient struct {
	pm      *portMapper
	conn    *TCPConn
	tooLate timer
}

// serveHTTP has the gateway listen for requests. There is no goroutine: they are answered as
// their last segment comes.
func (pm *portMapper) serveHTTP() {
	l, err := pm.host.listenTCP(netip.AddrPortFrom(pm.addr(true), igdPort), false)
	if err != nil {
		return // the network is closed
	}
	l.serve = pm.welcome
}

// welcome takes a connection.
func (pm *portMapper) welcome(c *TCPConn) {
	if pm.clients >= maxHTTPClients {
		c.arrived = func() { c.arrived = nil; pm.quit(c, c.abort) } // when the segment has been dealt with
		return
	}
	pm.clients++
	h := &httpClient{pm: pm, conn: c}
	h.tooLate = timer{net: pm.nat.net, key: mix(pm.nat.id, uint64(c.remote.Port())), f: func() { h.end(c.abort) }}
	h.tooLate.arm(pm.nat.net.at + httpTimeout)
	c.arrived = h.read
}

// read answers the request if all of it has come.
func (h *httpClient) read() {
	c := h.conn
	if c.state == tcpClosed {
		h.end(nil)
		return
	}
	answer, whole := h.pm.http(c.remote.Addr(), c.rx.buf.at(0, c.rx.buf.len()))
	switch {
	case whole:
		c.rx.buf.take(c.rx.buf.len())
		c.tx.buf.add(answer)
		h.end(c.shut)
	case c.rx.eof:
		h.end(c.abort)
	}
}

// end lets go of the connection. how ends it, unless it has ended.
func (h *httpClient) end(how func()) {
	h.pm.clients--
	h.tooLate.disarm()
	h.conn.arrived = nil
	if how != nil {
		h.pm.quit(h.conn, how)
	}
}

// quit ends a connection on the network's goroutine, at its instant, unless it has ended.
func (pm *portMapper) quit(c *TCPConn, how func()) {
	if c.state == tcpClosed {
		return
	}
	n := pm.nat.net
	at := n.at
	c.closed = true
	how()
	n.at = at
}

// http answers a request of a host. It reports false if b is the beginning of one.
func (pm *portMapper) http(from netip.Addr, b []byte) (answer []byte, whole bool) {
	r, body, err := parseHTTP(b)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && len(b) < maxHTTPRequest:
		return nil, false
	case errors.Is(err, io.ErrUnexpectedEOF):
		return httpAnswer(http.StatusRequestEntityTooLarge, nil), true
	case err != nil:
		return httpAnswer(http.StatusBadRequest, nil), true
	}
	switch {
	case r.URL.Path == igdControlPath && r.Method == http.MethodPost:
		return httpAnswer(pm.soap(from, body)), true
	case r.URL.Path == igdDescriptionPath && r.Method == http.MethodGet:
		return httpAnswer(http.StatusOK, pm.description()), true
	case r.URL.Path == igdServicePath && r.Method == http.MethodGet:
		return httpAnswer(http.StatusOK, pm.serviceDescription()), true
	case r.URL.Path == igdControlPath || r.URL.Path == igdDescriptionPath || r.URL.Path == igdServicePath:
		return httpAnswer(http.StatusMethodNotAllowed, nil), true
	}
	return httpAnswer(http.StatusNotFound, nil), true
}

// parseHTTP reads a request and its body. What follows is ignored. The error is
// [io.ErrUnexpectedEOF] where b ends too early, or its body is nothing that ends.
func parseHTTP(b []byte) (*http.Request, []byte, error) {
	if !bytes.Contains(b, []byte("\r\n\r\n")) && !bytes.Contains(b, []byte("\n\n")) {
		return nil, nil, io.ErrUnexpectedEOF
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // a chunk that is cut has errors of several kinds
		err = io.ErrUnexpectedEOF
	}
	return r, body, err
}

// httpAnswer is a response with a document. It is the last one of its connection.
func httpAnswer(status int, xml []byte) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nContent-Length: %d\r\nServer: %s\r\nExt:\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(xml), ssdpServer, xml)
}
