package bdt

import (
	"context"
	"io"
	"net"
	"os"
	"testing"

	"github.com/bdtnet/bdt/internal/peer"
	"github.com/bdtnet/bdt/internal/session"
)

// A deafSession says that it lives; whatever is done with it or its streams fails.
type deafSession struct {
	session.Session
	err   error // of everything
	ended error // Err
}

func (s *deafSession) Err() error                { return s.ended }
func (s *deafSession) MaxDatagramSize() int      { return 100 }
func (s *deafSession) SendDatagram([]byte) error { return s.err }

// A deafStream is a stream of a deafSession.
type deafStream struct {
	session.Stream
	ctx context.Context
	err error
}

func (s *deafStream) ID() uint64                { return 0 }
func (s *deafStream) Context() context.Context  { return s.ctx }
func (s *deafStream) Read([]byte) (int, error)  { return 0, s.err }
func (s *deafStream) Write([]byte) (int, error) { return 0, s.err }
func (s *deafStream) Close() error              { return nil }

// What waits on a session hears of its end before the session says that it has
// ended, and before the stack has been told: the cause has its public name all the
// same.
func TestEndIsNamedByWhoHearsOfItFirst(t *testing.T) {
	refused := &session.CloseError{Code: closeDenied, Reason: "no longer admitted", Remote: true}
	for _, tt := range []struct {
		name       string
		err, ended error
		told       error // by peer.Host.SessionEnded
		want       error
	}{
		{name: "no longer admitted", err: refused, want: ErrDenied},
		{name: "closed by the peer", err: &session.CloseError{Remote: true}, want: ErrPeerClosed},
		{name: "closed here", err: &session.CloseError{}, want: ErrClosed},
		{name: "the use of what is closed", err: net.ErrClosed, want: ErrClosed},
		{name: "a deadline", err: os.ErrDeadlineExceeded, want: os.ErrDeadlineExceeded},
		{name: "the session knows", err: net.ErrClosed, ended: refused, want: ErrDenied},
		{name: "the stack knows", err: refused, ended: refused, told: ErrRevoked, want: ErrRevoked},
		{name: "the peer is lost", err: net.ErrClosed, told: peer.ErrLost, want: ErrPeerLost},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sess := &deafSession{err: tt.err, ended: tt.ended}
			ss := &streams{session: sess, flows: flows{session: sess}}
			if tt.told != nil {
				ss.end(tt.told)
			}
			ctx, end := context.WithCancel(t.Context())
			c := &Conn{stream: &deafStream{ctx: ctx, err: tt.err}, failure: ss.failure}
			flow := &DatagramConn{conn: c, flows: &ss.flows, ready: make(chan struct{}, 1), done: make(chan struct{})}
			check := func(op string, err error) {
				t.Helper()
				oe, ok := err.(*OpError)
				if !ok || oe.Op != op || oe.Err != tt.want {
					t.Errorf("%s: %v, want %v", op, err, tt.want)
				}
			}
			if err := ss.failure(tt.err); err != tt.want {
				t.Errorf("of a session: %v, want %v", err, tt.want)
			}
			_, err := c.Read(nil)
			check("read", err)
			_, err = c.Write(nil)
			check("write", err)
			check("send", flow.Send(nil))
			flow.watch()
			end()
			_, err = flow.Receive(context.Background())
			check("receive", err)
		})
	}
}

// A flow that the peer closes has come to its end.
func TestFlowEndsWithItsStream(t *testing.T) {
	sess := &deafSession{}
	ss := &streams{session: sess, flows: flows{session: sess}}
	ctx, end := context.WithCancel(t.Context())
	stream := &deafStream{ctx: ctx, err: &session.StreamError{Code: codeClosed, Remote: true}}
	flow := &DatagramConn{
		conn:  &Conn{stream: stream, failure: ss.failure},
		flows: &ss.flows, ready: make(chan struct{}, 1), done: make(chan struct{}),
	}
	flow.watch()
	end()
	if _, err := flow.Receive(context.Background()); err != io.EOF {
		t.Errorf("%v, want io.EOF", err)
	}
}
