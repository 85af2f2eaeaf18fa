package bdt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// HTTPService is the service that a bdt:// URL means which names none.
const HTTPService = "http"

// httpScheme is the scheme of the URLs that an [HTTPTransport] takes.
const httpScheme = "bdt"

// Bounds on the streams that a stack's HTTPTransport keeps.
const (
	httpIdle        = 256              // idle ones in all
	httpIdlePerPeer = 16               // idle ones to one service of one device
	httpPerPeer     = 256              // to one service of one device; more requests wait
	httpIdleTimeout = 90 * time.Second // of an idle one
	httpContinue    = time.Second      // for which a body waits for "100 Continue"
)

// An HTTPTransport sends HTTP requests to other devices. It is an
// http.RoundTripper for URLs of the form
//
//	bdt://ID/path           the service "http" of the device
//	bdt://SERVICE.ID/path   another one; the host is split at its last dot
//
// and refuses all others. The request's Host header is the URL's host. Each
// request has a stream of its own while it lasts; streams are used again.
//
// Ids are case-sensitive, as net/http leaves hosts. Cookie jars of
// net/http/cookiejar keep nothing for these URLs.
type HTTPTransport struct {
	stack *Stack
	inner *http.Transport // for http://HOST, with the host of the bdt:// URL
}

var _ http.RoundTripper = (*HTTPTransport)(nil)

// HTTPTransport returns the stack's transport for HTTP, the same each time. It
// serves as the Transport of an http.Client; to have a client that takes other
// URLs, too, register it:
//
//	t := http.DefaultTransport.(*http.Transport).Clone()
//	t.RegisterProtocol("bdt", stack.HTTPTransport())
//
// It uses no proxy, and ends with the stack.
func (s *Stack) HTTPTransport() *HTTPTransport { return s.http() }

// newHTTPTransport makes the transport of a stack.
func (s *Stack) newHTTPTransport() *HTTPTransport {
	t := &HTTPTransport{stack: s}
	t.inner = &http.Transport{
		DialContext:           t.dial,
		MaxIdleConns:          httpIdle,
		MaxIdleConnsPerHost:   httpIdlePerPeer,
		MaxConnsPerHost:       httpPerPeer,
		IdleConnTimeout:       httpIdleTimeout,
		ExpectContinueTimeout: httpContinue,
	}
	return t
}

// RoundTrip implements http.RoundTripper. What went wrong with the stream is in
// the error's chain: [ErrDenied], [ErrNoService] and the like.
func (t *HTTPTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	id, _, err := splitURL(req.URL)
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, &OpError{Op: "http", Err: err}
	}
	inner, u := req.WithContext(req.Context()), *req.URL
	u.Scheme = "http"
	inner.URL, inner.Host = &u, cmp.Or(req.Host, u.Host)
	resp, err := t.inner.RoundTrip(inner)
	if err != nil {
		if e, ok := errors.AsType[*OpError](err); ok && e.Peer == id {
			return nil, err
		}
		return nil, &OpError{Op: "http", Peer: id, Err: err}
	}
	resp.Request = req
	return resp, nil
}

// CloseIdleConnections closes the streams that no request uses.
func (t *HTTPTransport) CloseIdleConnections() { t.inner.CloseIdleConnections() }

// dial opens a stream to the service that the host of a checked URL names. The
// port is what net/http adds.
func (t *HTTPTransport) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	id, service, err := splitHost(host)
	if err != nil {
		return nil, err
	}
	c, err := t.stack.Dial(ctx, id, service)
	if err != nil {
		return nil, err
	}
	return &httpConn{Conn: c}, nil
}

// An httpConn is a stream as net/http uses it, which closes it when reading fails
// and may then report that writing did, on a closed stream: it keeps to what reading
// has found, such as that the peer refuses this device.
type httpConn struct {
	*Conn
	cause atomic.Pointer[error]
}

func (c *httpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && err != io.EOF {
		c.cause.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (c *httpConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if cause := c.cause.Load(); cause != nil && errors.Is(err, ErrClosed) {
		return n, *cause
	}
	return n, err
}

// splitURL returns the device and the service that a URL names.
func splitURL(u *url.URL) (identity.ID, string, error) {
	switch {
	case u == nil:
		return identity.ID{}, "", errors.New("the request has no URL")
	case u.Scheme != httpScheme:
		return identity.ID{}, "", fmt.Errorf("URL of scheme %q: this transport takes bdt://ID/PATH and bdt://SERVICE.ID/PATH", u.Scheme)
	case u.Port() != "":
		return identity.ID{}, "", fmt.Errorf("URL host %q has a port: write bdt://SERVICE.ID/PATH to name a service", u.Host)
	}
	return splitHost(u.Host)
}

// splitHost splits a URL's host at its last dot.
func splitHost(host string) (identity.ID, string, error) {
	service, name := HTTPService, host
	if i := strings.LastIndexByte(host, '.'); i >= 0 {
		service, name = host[:i], host[i+1:]
		if err := checkService(service); err != nil {
			return identity.ID{}, "", fmt.Errorf("URL host %q: %w", host, err)
		}
	}
	id, err := identity.ParseID(name)
	if err != nil {
		return identity.ID{}, "", fmt.Errorf("URL host %q: %w; ids are case-sensitive", host, err)
	}
	return id, service, nil
}
