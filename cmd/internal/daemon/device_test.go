package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// A Device is the same whether the stack is here or in another process.
func TestDevice(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *world, Device)
	}{
		{"views", testViews},
		{"half-close", testHalfClose},
		{"bulk", testBulk},
		{"causes", testCauses},
		{"reset by the peer", testResetByPeer},
		{"reset", testReset},
		{"close", testClose},
		{"writes refused", testWritesRefused},
		{"deadline", testDeadline},
		{"context", testContext},
		{"listen", testListen},
	}
	for _, tc := range tests {
		t.Run("local "+tc.name, func(t *testing.T) {
			w := newWorld(t)
			learn(t, w, w.near)
			tc.run(t, w, w.near)
		})
		t.Run("client "+tc.name, func(t *testing.T) {
			w := newWorld(t)
			_, c := w.serve(t)
			learn(t, w, c)
			tc.run(t, w, c)
		})
	}
}

func learn(t *testing.T, w *world, d Device) {
	t.Helper()
	if err := d.Learn(within(t), w.far.Ticket()); err != nil {
		t.Fatal(err)
	}
}

func testViews(t *testing.T, w *world, d Device) {
	ctx, far := within(t), w.far.ID()
	if d.ID() != w.near.ID() {
		t.Errorf("ID %s", d.ID())
	}
	if _, err := d.Explain(ctx, far); !errors.Is(err, ErrUnknown) {
		t.Errorf("Explain of a stranger: %v", err)
	}
	if rtt, err := d.Ping(ctx, far); err != nil || rtt <= 0 {
		t.Fatalf("Ping: %v, %v", rtt, err)
	}
	if _, err := w.near.Serve("web", "zone,everyone:r", "127.0.0.1:80"); err != nil {
		t.Fatal(err)
	}
	s, err := d.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != d.ID() || s.PID != os.Getpid() || s.Command != "bdt test" || s.Name != "near" || s.Owner != nil || s.Online ||
		len(s.Endpoints) != 1 || s.Peers != 1 || s.Connected != 1 || s.BytesSent == 0 || time.Since(s.Started) > time.Hour {
		t.Errorf("status %+v", s)
	}
	if len(s.Services) != 1 || s.Services[0] != (Service{"web", "127.0.0.1:80", "zone,everyone:r", 0}) {
		t.Errorf("services %+v", s.Services)
	}
	if r, err := d.NetCheck(ctx); err != nil || len(r.SNs) != 0 || r.UDP.Value == "" || len(r.Candidates) == 0 || r.Time.IsZero() {
		t.Errorf("netcheck %+v, %v", r, err)
	}
	if ticket, err := identity.ParseTicket(s.Ticket); err != nil || ticket.ID != d.ID() {
		t.Errorf("ticket %s: %v", s.Ticket, err)
	}
	peers, err := d.Peers(ctx)
	if err != nil || len(peers) != 1 || peers[0].ID != far || peers[0].State != "connected" || peers[0].Path == nil || peers[0].Name != "far" {
		t.Errorf("peers %+v, %v", peers, err)
	}
	e, err := d.Explain(ctx, far)
	if err != nil || e.Peer.ID != far || len(e.Paths) == 0 || len(e.Lines) == 0 || e.Lines[0].Time.IsZero() {
		t.Errorf("explanation %+v, %v", e, err)
	}
}

// dial opens a stream to a service of the far device, and returns both ends.
func dial(t *testing.T, w *world, d Device) (near Stream, far *bdt.Conn) {
	t.Helper()
	conns := w.accept(t, "test")
	near, err := d.Dial(within(t), w.far.ID(), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, ok := <-conns
	if !ok {
		t.Fatal("the far device accepts no stream")
	}
	t.Cleanup(func() { far.Close() })
	for _, end := range []net.Conn{near, far} {
		end.SetDeadline(time.Now().Add(patience))
	}
	return near, far
}

// Each direction ends on its own.
func testHalfClose(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	if got, want := near.RemoteAddr().String(), w.far.ID().String()+"/test"; got != want {
		t.Errorf("remote address %s, want %s", got, want)
	}
	if got, want := near.LocalAddr().String(), w.near.ID().String()+"/test"; got != want {
		t.Errorf("local address %s, want %s", got, want)
	}
	near.Write([]byte("question"))
	if err := near.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := near.Write([]byte("x")); err == nil {
		t.Error("Write after CloseWrite succeeds")
	}
	if got, err := io.ReadAll(far); err != nil || string(got) != "question" {
		t.Errorf("the far end reads %q, %v", got, err)
	}
	far.Write([]byte("answer"))
	far.Close()
	if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
		t.Errorf("the near end reads %q, %v", got, err)
	}
	if n, err := near.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read after the end: %d, %v", n, err)
	}
}

// Nothing is lost or mixed up, with both directions full.
func testBulk(t *testing.T, w *world, d Device) {
	near, err := d.Dial(within(t), w.far.ID(), bdt.EchoService)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	near.SetDeadline(time.Now().Add(patience))
	sent := make([]byte, 3<<20+7)
	rand.Read(sent)
	wrote := make(chan error, 1)
	go func() {
		_, err := near.Write(sent)
		wrote <- errors.Join(err, near.CloseWrite())
	}()
	got, err := io.ReadAll(near)
	if err := errors.Join(err, <-wrote); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d come back as they were, %v", len(got), len(sent), err)
	}
}

func testCauses(t *testing.T, w *world, d Device) {
	ctx := within(t)
	c, err := d.Dial(ctx, w.far.ID(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, bdt.ErrDenied) {
		t.Errorf("a service that is not offered: %v", err)
	}
	stranger, err := identity.NewDevice(identity.GenerateSecret(), identity.DeviceDesc{}, identity.DeviceBody{Updated: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Dial(ctx, stranger.ID(), "test"); !errors.Is(err, bdt.ErrNoRoute) {
		t.Errorf("a device that cannot be found: %v", err)
	}
	if _, err := d.Dial(ctx, w.far.ID(), "no name!"); err == nil {
		t.Error("a service with an impossible name was dialled")
	}
	if _, err := d.Listen(ctx, "test", "somebody"); err == nil {
		t.Error("a policy that is none was taken")
	}
	if err := d.Learn(ctx, identity.Ticket{}); err == nil {
		t.Error("a ticket that is none was learnt")
	}
}

func testResetByPeer(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	far.Write([]byte("x"))
	if _, err := io.ReadFull(near, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	far.Reset(7)
	_, err := near.Read(make([]byte, 1))
	if r, ok := errors.AsType[*bdt.ResetError](err); !ok || r.Code != 7 || !r.Remote {
		t.Errorf("the peer's reset reads as %v", err)
	}
}

func testReset(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	near.Write([]byte("x"))
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	near.Reset(9)
	_, err := far.Read(make([]byte, 1))
	if r, ok := errors.AsType[*bdt.ResetError](err); !ok || r.Code != 9 || !r.Remote {
		t.Errorf("the far end reads the reset as %v", err)
	}
	if _, err := near.Write([]byte("x")); err == nil {
		t.Error("Write after Reset succeeds")
	}
}

// What was written before Close arrives.
func testClose(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	sent := make([]byte, 100_000)
	rand.Read(sent)
	if _, err := near.Write(sent); err != nil {
		t.Fatal(err)
	}
	near.Close()
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d arrive, %v", len(got), len(sent), err)
	}
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

// A peer that has said all and wants no more: its words are read, and writes fail.
func testWritesRefused(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	near.Write([]byte("x"))
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	far.Write([]byte("enough"))
	near.Write([]byte("not read"))
	far.Close()
	read := make(chan []byte, 1)
	go func() {
		got, _ := io.ReadAll(near)
		near.Read(make([]byte, 1))
		read <- got
	}()
	var err error
	for err == nil { // ends with the deadline
		_, err = near.Write(make([]byte, 1<<10))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write to a peer that has closed: %v", err)
	}
	if got := <-read; string(got) != "enough" {
		t.Errorf("read %q", got)
	}
}

// A read that has met its deadline has lost nothing.
func testDeadline(t *testing.T, w *world, d Device) {
	near, far := dial(t, w, d)
	near.SetReadDeadline(time.Now().Add(-time.Second))
	if _, err := near.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after its deadline: %v", err)
	} else if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
	near.SetReadDeadline(time.Now().Add(patience))
	far.Write([]byte("late"))
	far.CloseWrite()
	if got, err := io.ReadAll(near); err != nil || string(got) != "late" {
		t.Errorf("read %q, %v", got, err)
	}
}

func testContext(t *testing.T, w *world, d Device) {
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	if _, err := d.Ping(ctx, w.far.ID()); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping: %v", err)
	}
	if _, err := d.Dial(ctx, w.far.ID(), "test"); !errors.Is(err, context.Canceled) {
		t.Errorf("Dial: %v", err)
	}
	ln, err := d.Listen(within(t), "here", "everyone")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := ln.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept: %v", err)
	}
}

func testListen(t *testing.T, w *world, d Device) {
	ctx := within(t)
	ln, err := d.Listen(ctx, "here", "everyone:c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Listen(ctx, "here", "everyone"); !errors.Is(err, bdt.ErrServiceInUse) {
		t.Errorf("Listen twice: %v", err)
	}
	for range 3 {
		far, err := w.far.Dial(ctx, w.near.ID(), "here")
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		far.Write([]byte("hello"))
		far.CloseWrite()
		near, err := ln.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if near.Rights() != bdt.MayCall || near.RemoteAddr() != (bdt.Addr{ID: w.far.ID(), Service: "here"}) {
			t.Errorf("rights %v, remote %v", near.Rights(), near.RemoteAddr())
		}
		if got, err := io.ReadAll(near); err != nil || string(got) != "hello" {
			t.Errorf("read %q, %v", got, err)
		}
		near.Close()
	}
	s, err := d.Status(ctx)
	if err != nil || len(s.Services) != 1 || s.Services[0].Streams != 3 || s.Services[0].Allow != "everyone:c" {
		t.Errorf("status %+v, %v", s, err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := ln.Accept(ctx)
		waiting <- err
	}()
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, bdt.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
	// The name is free again, as soon as the other process has seen it.
	for {
		again, err := d.Listen(ctx, "here", "everyone")
		if errors.Is(err, bdt.ErrServiceInUse) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		return
	}
}
