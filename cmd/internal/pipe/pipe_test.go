package pipe_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/cmd/internal/pipe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns both ends of a TCP connection.
func pair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []net.Conn{c, d} {
		x.SetDeadline(time.Now().Add(30 * time.Second)) // only a test that fails takes as long
		t.Cleanup(func() { x.Close() })
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

// joined returns the outer ends of two connections that are joined, and the result.
func joined(t *testing.T, ctx context.Context) (a, b *net.TCPConn, result chan error) {
	t.Helper()
	a, x := pair(t)
	b, y := pair(t)
	result = make(chan error, 1)
	go func() { result <- pipe.Join(ctx, x, y) }()
	return a, b, result
}

// Each direction ends on its own, and nothing is lost.
func TestHalfClose(t *testing.T) {
	a, b, result := joined(t, context.Background())
	question, answer := make([]byte, 1<<20), make([]byte, 3<<20)
	rand.Read(question)
	rand.Read(answer)
	go func() {
		a.Write(question)
		a.CloseWrite()
	}()
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, question) {
		t.Errorf("%d bytes of %d arrive, %v", len(got), len(question), err)
	}
	go func() {
		b.Write(answer)
		b.CloseWrite()
	}()
	if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, answer) {
		t.Errorf("%d bytes of %d come back, %v", len(got), len(answer), err)
	}
	if err := <-result; err != nil {
		t.Errorf("Join: %v", err)
	}
}

// What is broken off must not look complete.
func TestAbandon(t *testing.T) {
	a, b, result := joined(t, context.Background())
	a.Write([]byte("half of"))
	if _, err := io.ReadFull(b, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	a.SetLinger(0)
	a.Close()
	if _, err := b.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the other end reads %v", err)
	}
	if err := <-result; err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("Join says %v, not what began it", err)
	}
}

func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	a, b, result := joined(t, ctx)
	cancel()
	for _, c := range []net.Conn{a, b} {
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.ErrNoProgress) {
			t.Errorf("an end reads %v", err)
		}
	}
	if err := <-result; err != nil {
		t.Errorf("Join: %v", err)
	}
}
