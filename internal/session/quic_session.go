package session

import (
	"context"
	"errors"
	"strings"

	"github.com/quic-go/quic-go"
)

// maxReason is how much of a close's reason is sent, so that it fits a packet.
const maxReason = 512

// quicSession implements Session.
type quicSession struct {
	conn *quic.Conn
	port *quicPort
	// maxDatagram never changes, as packets do not: 1,200 bytes less header,
	// tag and what quic-go keeps in reserve.
	maxDatagram int
}

func newQUICSession(conn *quic.Conn, p *quicPort) *quicSession {
	s := &quicSession{conn: conn, port: p}
	// quic-go tells the size when it refuses.
	var tooLarge [quicPacketSize]byte
	if e, ok := errors.AsType[*quic.DatagramTooLargeError](conn.SendDatagram(tooLarge[:])); ok {
		s.maxDatagram = int(e.MaxDatagramPayloadSize)
	}
	return s
}

func (s *quicSession) OpenStream(ctx context.Context) (Stream, error) {
	st, err := s.conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, s.callError(ctx, err)
	}
	return &quicStream{stream: st}, nil
}

func (s *quicSession) AcceptStream(ctx context.Context) (Stream, error) {
	st, err := s.conn.AcceptStream(ctx)
	if err != nil {
		return nil, s.callError(ctx, err)
	}
	return &quicStream{stream: st}, nil
}

// callError is the error of a call with ctx: the session's, if it has ended.
func (s *quicSession) callError(ctx context.Context, err error) error {
	if ctx.Err() != nil && s.Err() == nil {
		return ctx.Err()
	}
	return quicError(err)
}

func (s *quicSession) SendDatagram(b []byte) error {
	switch {
	case s.maxDatagram == 0:
		return ErrNoDatagrams
	case len(b) > s.maxDatagram:
		return &DatagramTooLargeError{Max: s.maxDatagram}
	}
	return quicError(s.conn.SendDatagram(b))
}

func (s *quicSession) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	b, err := s.conn.ReceiveDatagram(ctx)
	if err != nil {
		return nil, s.callError(ctx, err)
	}
	return b, nil
}

func (s *quicSession) MaxDatagramSize() int { return s.maxDatagram }

func (s *quicSession) Close(code uint64, reason string) error {
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	s.conn.CloseWithError(quic.ApplicationErrorCode(min(code, MaxCode)), reason)
	return nil
}

func (s *quicSession) Done() <-chan struct{} { return s.conn.Context().Done() }

func (s *quicSession) Err() error {
	return quicError(context.Cause(s.conn.Context()))
}

func (s *quicSession) Stats() Stats {
	c := s.conn.ConnectionStats()
	return Stats{
		Engine:         s.port.engine.Name(),
		SmoothedRTT:    c.SmoothedRTT,
		BytesSent:      c.BytesSent,
		BytesRecv:      c.BytesReceived,
		PacketsLost:    c.PacketsLost,
		PacketsDropped: s.port.dropped.Load(),
	}
}
