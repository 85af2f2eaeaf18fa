package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// quicTLS is the device's side of all TLS handshakes.
type quicTLS struct {
	cert tls.Certificate
}

// newQUICTLS makes the device's certificate. It is signed by the device's
// own key, and nothing in it matters but that key.
func newQUICTLS(id Identity) (*quicTLS, error) {
	if id.Signer == nil {
		return nil, errors.New("session: Identity without a signer")
	}
	key, ok := id.Signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("session: Identity holds a %T, want an Ed25519 key", id.Signer.Public())
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // never (RFC 5280 §4.1.2.5)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, id.Signer)
	if err != nil {
		return nil, fmt.Errorf("session: making the certificate: %w", err)
	}
	return &quicTLS{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: id.Signer}}, nil
}

// config is for both ends of one session.
func (q *quicTLS) config(s Secrets) *tls.Config {
	return &tls.Config{
		Certificates:       []tls.Certificate{q.cert},
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		NextProtos:         []string{alpn(s.Binding)},
		ClientAuth:         tls.RequireAnyClientCert,
		InsecureSkipVerify: true, // there is no authority to ask; VerifyConnection checks the key
		VerifyConnection: func(cs tls.ConnectionState) error {
			return verifyPeer(cs, s.Peer)
		},
		SessionTicketsDisabled: true, // and with them 0-RTT
	}
}

// server is for all answering ends: the session is that of the port which the
// ClientHello came to.
func (q *quicTLS) server(portOf func(*net.UDPAddr) *quicPort) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			addr, _ := hello.Conn.RemoteAddr().(*net.UDPAddr)
			p := portOf(addr)
			if p == nil {
				return nil, ErrPortClosed
			}
			return q.config(p.secrets), nil
		},
	}
}

// verifyPeer checks that the peer holds the one key it may hold. TLS has
// checked that it signed the handshake with the certificate's key.
func verifyPeer(cs tls.ConnectionState, want ed25519.PublicKey) error {
	if len(cs.PeerCertificates) > 0 {
		if key, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey); ok && key.Equal(want) {
			return nil
		}
	}
	return ErrPeerKey
}

// checkPeerKey refuses what is not an Ed25519 public key.
func checkPeerKey(k ed25519.PublicKey) error {
	if len(k) != ed25519.PublicKeySize {
		return fmt.Errorf("session: peer's key has %d bytes, want %d", len(k), ed25519.PublicKeySize)
	}
	return nil
}

// alpn is the session's protocol name. It differs between sessions, so that
// messages of one handshake do not pass in another. It travels in the clear,
// and is therefore a hash of the binding.
func alpn(binding [32]byte) string {
	h := sha256.Sum256(append([]byte("bdt/1 alpn"), binding[:]...))
	return "bdt/1 " + hex.EncodeToString(h[:16])
}
