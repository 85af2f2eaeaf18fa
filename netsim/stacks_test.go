package netsim_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"

	"github.com/bdtnet/bdt/netsim"
)

// Other people's stacks run on simulated hosts, as they are.

// certificate makes a certificate for a name, and the pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// only443 is a box that lets TCP to port 443 pass and nothing else.
var only443 = netsim.NATConfig{Filtering: netsim.AddressAndPortDependent, BlockUDP: true, AllowPorts: [4]uint16{443}}

// drawOffice draws a server on the internet, and a client behind a NAT, in virtual time.
func drawOffice(t *testing.T, nat netsim.NATConfig, wan netsim.LinkConfig, f func(t *testing.T, client, server *netsim.Host)) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{Seed: 1})
		t.Cleanup(func() { n.Close() }) // after the servers
		core, server := n.Router("internet"), n.Host("server")
		box, client := n.NAT("box", nat), n.Host("client")
		netsim.Must(n.Connect(server, core, netsim.LinkConfig{Delay: 5 * time.Millisecond}, "203.0.113.1"))
		netsim.Must(n.Connect(box, core, wan, "198.51.100.7"))
		netsim.Must(n.Connect(client, box, netsim.LinkConfig{}, "198.18.1.2/24"))
		n.SetName("server.example.net", netip.MustParseAddr("203.0.113.1"))
		f(t, client, server)
	})
}

// TestQUIC: quic-go carries streams over Host.ListenPacket on a link that loses.
func TestQUIC(t *testing.T) {
	wan := netsim.LinkConfig{Delay: 15 * time.Millisecond, Rate: 20e6, Loss: 0.02}
	drawOffice(t, netsim.PortRestricted, wan, func(t *testing.T, client, server *netsim.Host) {
		cert, pool := certificate(t, "server.example.net")
		rx := &quic.Transport{Conn: netsim.Must(server.ListenPacket("udp4", ":4433"))}
		tx := &quic.Transport{Conn: netsim.Must(client.ListenPacket("udp4", ":0"))}
		defer tx.Conn.Close()
		defer rx.Conn.Close()
		defer tx.Close()
		defer rx.Close()
		ln, err := rx.Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() { // echoes one stream
			c, err := ln.Accept(t.Context())
			if err != nil {
				return
			}
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.Copy(s, s); err != nil {
				t.Error(err)
			}
			s.Close()
		}()
		to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:4433"))
		c, err := tx.Dial(t.Context(), to, &tls.Config{RootCAs: pool, ServerName: "server.example.net", NextProtos: []string{"test"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		go func() {
			if _, err := s.Write(want); err != nil {
				t.Error(err)
			}
			s.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %d bytes, %v, want the %d sent", len(got), err, len(want))
		}
		c.CloseWithError(0, "")
	})
}

// serveHTTP serves h with TLS on port 443 until the test ends.
func serveHTTP(t *testing.T, server *netsim.Host, h http.Handler) *x509.CertPool {
	t.Helper()
	cert, pool := certificate(t, "server.example.net")
	ln, err := server.Listen("tcp", ":443")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return pool
}

// httpClient returns a client on a host.
func httpClient(t *testing.T, h *netsim.Host, pool *x509.CertPool) *http.Client {
	tr := &http.Transport{DialContext: h.DialContext, TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestHTTP: net/http works where only port 443 is open, and no UDP passes.
func TestHTTP(t *testing.T) {
	drawOffice(t, only443, netsim.LinkConfig{Delay: 15 * time.Millisecond}, func(t *testing.T, client, server *netsim.Host) {
		pool := serveHTTP(t, server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello %s", r.RemoteAddr)
		}))
		start := time.Now()
		resp, err := httpClient(t, client, pool).Get("https://server.example.net/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if host, _, e := net.SplitHostPort(string(bytes.TrimPrefix(body, []byte("hello ")))); err != nil || e != nil || host != "198.51.100.7" {
			t.Errorf("the server saw %q (%v), want the NAT's address", body, err)
		}
		// Three round trips of 40 ms: TCP, TLS 1.3, the request.
		if took := time.Since(start); took < 120*time.Millisecond || took > 121*time.Millisecond {
			t.Errorf("took %v, want three round trips", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := client.DialContext(ctx, "tcp", "server.example.net:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("port 80: %v, want silence", err)
		}
		rx := netsim.Must(server.ListenPacket("udp4", ":443"))
		netsim.Must(netsim.Must(client.DialContext(t.Context(), "udp", "server.example.net:443")).Write([]byte("x")))
		rx.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := rx.ReadFrom(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("UDP: %v, want silence", err)
		}
	})
}

// TestWebSocket: so does coder/websocket.
func TestWebSocket(t *testing.T) {
	drawOffice(t, only443, netsim.LinkConfig{Delay: 15 * time.Millisecond}, func(t *testing.T, client, server *netsim.Host) {
		pool := serveHTTP(t, server, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.CloseNow()
			for {
				kind, b, err := c.Read(r.Context())
				if err != nil {
					return
				}
				if c.Write(r.Context(), kind, b) != nil {
					return
				}
			}
		}))
		c, _, err := websocket.Dial(t.Context(), "wss://server.example.net/", &websocket.DialOptions{HTTPClient: httpClient(t, client, pool)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		for i := range 10 {
			want := bytes.Repeat([]byte{byte(i)}, 1000*i)
			if err := c.Write(t.Context(), websocket.MessageBinary, want); err != nil {
				t.Fatal(err)
			}
			if _, got, err := c.Read(t.Context()); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Error(err)
		}
	})
}
