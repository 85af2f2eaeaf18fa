package sessiontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

var sessionTests = []test{
	{name: "CloseByClient", f: func(e *env) { testClose(e, e.client, e.server) }},
	{name: "CloseByServer", f: func(e *env) { testClose(e, e.server, e.client) }},
	{name: "CloseLongReason", f: testLongReason},
	{name: "CloseTwice", f: testCloseTwice},
	{name: "Contexts", f: testContexts},
	{name: "UseAfterClose", f: testSessionUseAfterClose},
	{name: "Idle", f: testIdle},
	{name: "Stats", f: testStats},
}

// blocked starts every call that waits: of s, and of two streams of it, one
// that the peer does not write to and one that it does not read.
func (e *env) blocked(s session.Session, read, write session.Stream) []<-chan error {
	calls := []<-chan error{
		e.start(func() error { return read1(read) }),
		e.start(func() error { _, err := writeUntilError(write); return err }),
		e.start(func() error { _, err := s.AcceptStream(e.context()); return err }),
	}
	if e.caps.Datagrams {
		calls = append(calls, e.start(func() error {
			_, err := s.ReceiveDatagram(e.context())
			return err
		}))
	}
	return calls
}

func testClose(e *env, a, b session.Session) {
	near, far := e.streams(a, b)
	near2, far2 := e.streams(a, b)
	local, remote := e.blocked(a, near, near2), e.blocked(b, far, far2)
	time.Sleep(time.Second)
	e.want(a.Err(), nil)
	e.want(b.Err(), nil)
	e.want(a.Close(99, "enough"), nil)
	<-a.Done()
	<-b.Done()
	e.wantClose(a.Err(), 99, "enough", false)
	e.wantClose(b.Err(), 99, "enough", true)
	for _, c := range local {
		e.wantClose(<-c, 99, "enough", false)
	}
	for _, c := range remote {
		e.wantClose(<-c, 99, "enough", true)
	}
}

func testLongReason(e *env) {
	reason := strings.Repeat("ж", 10000)
	e.want(e.client.Close(1<<63, reason), nil)
	<-e.server.Done()
	got, ok := errors.AsType[*session.CloseError](e.server.Err())
	if !ok || got.Code != session.MaxCode {
		e.Fatalf("error is %v, want a CloseError with the largest code", e.server.Err())
	}
	if len(got.Reason) < 100 || !strings.HasPrefix(reason, got.Reason) {
		e.Errorf("reason is %q, want the beginning of what was given", got.Reason)
	}
}

func testCloseTwice(e *env) {
	e.want(e.client.Close(1, "first"), nil)
	e.want(e.client.Close(2, "second"), nil)
	e.wantClose(e.client.Err(), 1, "first", false)
	<-e.server.Done()
	e.want(e.server.Close(3, "third"), nil)
	e.wantClose(e.server.Err(), 1, "first", true)
}

func testContexts(e *env) {
	calls := map[string]func(context.Context) error{
		"AcceptStream": func(ctx context.Context) error {
			_, err := e.client.AcceptStream(ctx)
			return err
		},
	}
	if e.caps.Datagrams {
		calls["ReceiveDatagram"] = func(ctx context.Context) error {
			_, err := e.client.ReceiveDatagram(ctx)
			return err
		}
	}
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(e.Context(), 3*time.Second)
		start := time.Now()
		e.want(call(ctx), context.DeadlineExceeded)
		if d := time.Since(start); d != 3*time.Second {
			e.Errorf("%s returned after %v", name, d)
		}
		cancel()

		ctx, cancel = context.WithCancel(e.Context())
		done := e.start(func() error { return call(ctx) })
		time.Sleep(time.Second)
		cancel()
		e.want(<-done, context.Canceled)
		e.want(call(ctx), context.Canceled)
	}
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, err := e.client.OpenStream(ctx)
	e.want(err, context.Canceled)
	e.alive()
}

func testSessionUseAfterClose(e *env) {
	near, _ := e.streams(e.client, e.server)
	e.want(e.client.Close(5, "bye"), nil)
	_, err := e.client.OpenStream(e.context())
	e.wantClose(err, 5, "bye", false)
	_, err = e.client.AcceptStream(e.context())
	e.wantClose(err, 5, "bye", false)
	_, err = near.Write([]byte("x"))
	e.wantClose(err, 5, "bye", false)
	e.wantClose(read1(near), 5, "bye", false)
	if e.caps.Datagrams {
		e.wantClose(e.client.SendDatagram([]byte("x")), 5, "bye", false)
		_, err = e.client.ReceiveDatagram(e.context())
		e.wantClose(err, 5, "bye", false)
	}
	e.want(near.Close(), nil)
	_, err = near.Write([]byte("x"))
	e.want(err, net.ErrClosed)
	near.CancelRead(1)
	near.CancelWrite(1)
}

// testIdle leaves the session alone for hours: liveness is not its business,
// and it sends nothing.
func testIdle(e *env) {
	e.alive()
	time.Sleep(time.Minute)
	sent := e.net.Sent(Client) + e.net.Sent(Server)
	time.Sleep(20 * time.Hour)
	if n := e.net.Sent(Client) + e.net.Sent(Server) - sent; n != 0 {
		e.Errorf("%d packets were sent in idleness", n)
	}
	e.alive()
}

func testStats(e *env) {
	near, far := e.streams(e.client, e.server)
	const size = 1 << 20
	done := e.start(func() error {
		_, err := io.CopyN(io.Discard, far, size)
		return err
	})
	_, err := near.Write(make([]byte, size))
	e.want(err, nil)
	e.want(<-done, nil)
	c, s := e.client.Stats(), e.server.Stats()
	if c.Engine == "" || c.Engine != s.Engine {
		e.Errorf("engines are %q and %q", c.Engine, s.Engine)
	}
	if c.BytesSent < size || s.BytesRecv < size {
		e.Errorf("%d bytes sent, %d received, want at least %d", c.BytesSent, s.BytesRecv, size)
	}
	if rtt := 2 * clean.Delay; c.SmoothedRTT < rtt || c.SmoothedRTT > 2*rtt {
		e.Errorf("round trip time is %v on a path of %v", c.SmoothedRTT, rtt)
	}
	if fmt.Sprint(c) == fmt.Sprint(s) {
		e.Error("both ends count the same")
	}
}
