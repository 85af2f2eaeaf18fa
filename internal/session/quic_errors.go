package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/quic-go/quic-go"
)

// detachedReason, with MaxCode, marks a connection that Port.Close ended. It
// does not reach the peer.
const detachedReason = "port closed"

// TLS alerts (RFC 8446 §6), which QUIC carries as transport error codes from
// 0x100 on (RFC 9001 §4.8).
const (
	alertBadCertificate        = 0x100 + 42
	alertNoApplicationProtocol = 0x100 + 120
)

// quicError puts an error of quic-go's in this package's terms. None of
// quic-go's passes; what is not an error of quic-go's stays as it is.
func quicError(err error) error {
	switch {
	case err == nil, err == io.EOF, err == context.Canceled, err == context.DeadlineExceeded:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	case errors.Is(err, quic.ErrStreamClosed):
		return net.ErrClosed
	case errors.Is(err, quic.ErrTransportClosed), errors.Is(err, quic.ErrServerClosed):
		return ErrEngineClosed
	}
	if e, ok := errors.AsType[*quic.StreamError](err); ok {
		return &StreamError{Code: uint64(e.ErrorCode), Remote: e.Remote}
	}
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		if !e.Remote && e.ErrorCode == MaxCode && e.ErrorMessage == detachedReason {
			return ErrPortClosed
		}
		return &CloseError{Code: uint64(e.ErrorCode), Reason: e.ErrorMessage, Remote: e.Remote}
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		return quicTransportError(e)
	}
	if _, ok := errors.AsType[*quic.IdleTimeoutError](err); ok {
		return ErrIdleTimeout
	}
	if _, ok := errors.AsType[*quic.HandshakeTimeoutError](err); ok {
		return ErrHandshakeTimeout
	}
	return fmt.Errorf("%w: %s", ErrProtocol, err.Error())
}

// quicTransportError names what a connection died of.
func quicTransportError(e *quic.TransportError) error {
	var cause error
	switch {
	case e.ErrorCode == alertBadCertificate:
		cause = ErrPeerKey
	case e.ErrorCode == alertNoApplicationProtocol:
		cause = ErrBinding
	case e.ErrorCode == quic.ApplicationErrorErrorCode && e.Remote:
		return &CloseError{Remote: true} // closed before it could tell us why (RFC 9000 §10.2.3)
	case e.ErrorCode == quic.ConnectionRefused && e.Remote:
		return ErrRefused
	case e.ErrorCode == quic.ConnectionRefused:
		return ErrEngineClosed // quic-go refuses what is under way when its listener closes
	default:
		return fmt.Errorf("%w: %s", ErrProtocol, e.Error())
	}
	return fmt.Errorf("%w (found by %s)", cause, end(e.Remote))
}

// quicDialError is quicError for a dial, in which silence means that the
// handshake failed. An error of the caller's ctx passes.
func quicDialError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err = quicError(err); err == ErrIdleTimeout {
		return ErrHandshakeTimeout
	}
	return err
}
