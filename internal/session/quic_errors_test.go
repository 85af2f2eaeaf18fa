package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
)

// TestQUICErrors wants every error of quic-go's in this package's terms, and
// none of quic-go's within.
func TestQUICErrors(t *testing.T) {
	for _, tt := range []struct{ err, want error }{
		{nil, nil},
		{io.EOF, io.EOF},
		{context.Canceled, context.Canceled},
		{context.DeadlineExceeded, context.DeadlineExceeded},
		{fmt.Errorf("quic: %w", os.ErrDeadlineExceeded), os.ErrDeadlineExceeded},
		{quic.ErrStreamClosed, net.ErrClosed},
		{quic.ErrTransportClosed, ErrEngineClosed},
		{quic.ErrServerClosed, ErrEngineClosed},
		{&quic.IdleTimeoutError{}, ErrIdleTimeout},
		{&quic.HandshakeTimeoutError{}, ErrHandshakeTimeout},
		{&quic.VersionNegotiationError{}, ErrProtocol},
		{&quic.StatelessResetError{}, ErrProtocol},
		{errors.New("anything"), ErrProtocol},
		{&quic.TransportError{ErrorCode: quic.FlowControlError, Remote: true}, ErrProtocol},
		{&quic.TransportError{ErrorCode: quic.ConnectionRefused, Remote: true}, ErrRefused},
		{&quic.TransportError{ErrorCode: quic.ConnectionRefused}, ErrEngineClosed},
		{&quic.TransportError{ErrorCode: 0x100 + 42, Remote: true}, ErrPeerKey},
		{&quic.TransportError{ErrorCode: 0x100 + 42}, ErrPeerKey},
		{&quic.TransportError{ErrorCode: 0x100 + 120}, ErrBinding},
		{&quic.ApplicationError{ErrorCode: MaxCode, ErrorMessage: detachedReason}, ErrPortClosed},
		{&quic.ApplicationError{ErrorCode: 1}, net.ErrClosed},
	} {
		got := quicError(tt.err)
		if !errors.Is(got, tt.want) {
			t.Errorf("%v became %v, want %v", tt.err, got, tt.want)
		}
		if got != nil && strings.Contains(fmt.Sprintf("%T %#v", got, got), "quic") {
			t.Errorf("%v became %#v", tt.err, got)
		}
	}
	var c *CloseError
	for _, tt := range []struct {
		err  error
		want CloseError
	}{
		{&quic.ApplicationError{ErrorCode: 7, ErrorMessage: "r", Remote: true}, CloseError{7, "r", true}},
		{&quic.ApplicationError{ErrorCode: MaxCode, ErrorMessage: detachedReason, Remote: true}, CloseError{MaxCode, detachedReason, true}},
		{&quic.TransportError{ErrorCode: quic.ApplicationErrorErrorCode, Remote: true}, CloseError{Remote: true}},
	} {
		if err := quicError(tt.err); !errors.As(err, &c) || *c != tt.want {
			t.Errorf("%v became %v, want %v", tt.err, err, &tt.want)
		}
	}
}

func TestQUICDialError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	if err := quicDialError(ctx, nil); err != nil {
		t.Error(err)
	}
	if err := quicDialError(ctx, &quic.IdleTimeoutError{}); err != ErrHandshakeTimeout {
		t.Errorf("silence became %v", err)
	}
	cause := errors.New("the caller's")
	cancel(cause)
	if err := quicDialError(ctx, &quic.IdleTimeoutError{}); err != cause {
		t.Errorf("cancelled dial became %v", err)
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"session: stream reset by the peer with code 3":     &StreamError{3, true},
		"session: stream reset by this end with code 0":     &StreamError{},
		"session: closed by the peer with code 1: too late": &CloseError{1, "too late", true},
		"session: closed by this end with code 2":           &CloseError{Code: 2},
		"session: datagram is longer than 9 bytes":          &DatagramTooLargeError{9},
	} {
		if err.Error() != want {
			t.Errorf("text is %q, want %q", err, want)
		}
	}
}
