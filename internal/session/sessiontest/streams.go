package sessiontest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

var streamTests = []test{
	{name: "BothWays", f: testBothWays},
	{name: "AnnouncedByFirstByte", f: testAnnounced},
	{name: "HalfClose", f: testHalfClose},
	{name: "CloseDelivers", f: testCloseDelivers},
	{name: "CloseRefusesUnread", f: testCloseRefuses},
	{name: "CloseInterrupts", f: testCloseInterrupts},
	{name: "UseAfterClose", f: testUseAfterClose},
	{name: "CancelWrite", f: testCancelWrite},
	{name: "CancelRead", f: testCancelRead},
	{name: "BackPressure", f: testBackPressure},
	{name: "Many", f: testManyStreams},
	{name: "Context", f: testStreamContext},
}

func testBothWays(e *env) {
	near, far := e.streams(e.client, e.server)
	near2, far2 := e.streams(e.server, e.client)
	for _, p := range [][2]session.Stream{{near, far}, {near2, far2}} {
		e.send(p[0], p[1], strings.Repeat("there", 10000))
		e.send(p[1], p[0], strings.Repeat("and back", 10000))
		if p[0].ID() != p[1].ID() {
			e.Errorf("stream is %d here and %d there", p[0].ID(), p[1].ID())
		}
		if p[0].LocalAddr() == nil || p[0].RemoteAddr() == nil {
			e.Error("nil address")
		}
	}
	if near.ID() == near2.ID() {
		e.Errorf("two streams have id %d", near.ID())
	}
}

func testAnnounced(e *env) {
	st, err := e.client.OpenStream(e.context())
	e.want(err, nil)
	ctx, cancel := context.WithTimeout(e.context(), time.Second)
	defer cancel()
	_, err = e.server.AcceptStream(ctx)
	e.want(err, context.DeadlineExceeded)

	accepted := e.start(func() error {
		far, err := e.server.AcceptStream(e.context())
		if err != nil {
			return err
		}
		b := make([]byte, 10)
		if n, err := far.Read(b); err != nil || string(b[:n]) != "1" {
			return fmt.Errorf("read %q, %v", b[:n], err)
		}
		return nil
	})
	start := time.Now()
	_, err = st.Write([]byte("1"))
	e.want(err, nil)
	e.want(<-accepted, nil)
	if d := time.Since(start); d != clean.Delay {
		e.Errorf("first byte took %v, want the path's %v", d, clean.Delay)
	}
}

func testHalfClose(e *env) {
	near, far := e.streams(e.client, e.server)
	_, err := near.Write([]byte("question"))
	e.want(err, nil)
	e.want(near.CloseWrite(), nil)
	e.want(near.CloseWrite(), nil)
	_, err = near.Write([]byte("more"))
	e.want(err, net.ErrClosed)

	b, err := io.ReadAll(far)
	if e.want(err, nil); string(b) != "question" {
		e.Errorf("read %q", b)
	}
	if n, err := far.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		e.Errorf("read after the end: %d, %v", n, err)
	}
	e.send(far, near, "answer")
	e.want(far.Close(), nil)
	if b, err = io.ReadAll(near); err != nil || len(b) != 0 {
		e.Errorf("read %q, %v after the peer's Close", b, err)
	}
	e.want(near.Close(), nil)
}

func testCloseDelivers(e *env) {
	near, far := e.streams(e.client, e.server)
	want := bytes.Repeat([]byte("data"), 50000)
	_, err := near.Write(want)
	e.want(err, nil)
	e.want(near.Close(), nil)
	got, err := io.ReadAll(far)
	if e.want(err, nil); !bytes.Equal(got, want) {
		e.Errorf("read %d bytes, want the %d written", len(got), len(want))
	}
}

func testCloseRefuses(e *env) {
	near, far := e.streams(e.client, e.server)
	e.want(near.Close(), nil)
	_, err := writeUntilError(far)
	e.wantReset(err, 0, true)
}

// testCloseInterrupts closes a stream under a blocked Read and a blocked Write.
func testCloseInterrupts(e *env) {
	near, far := e.streams(e.client, e.server)
	read := e.start(func() error {
		_, err := near.Read(make([]byte, 1))
		return err
	})
	var wrote int
	written := e.start(func() (err error) {
		wrote, err = writeUntilError(near)
		return err
	})
	time.Sleep(time.Second)
	e.want(near.Close(), nil)
	e.want(<-read, net.ErrClosed)
	e.want(<-written, net.ErrClosed)
	got, err := io.Copy(io.Discard, far)
	if e.want(err, nil); int(got) != wrote {
		e.Errorf("read %d bytes, but Write took %d", got, wrote)
	}
}

func testUseAfterClose(e *env) {
	near, far := e.streams(e.client, e.server)
	_, err := far.Write([]byte("unread"))
	e.want(err, nil)
	time.Sleep(time.Second)
	e.want(near.Close(), nil)
	e.want(near.Close(), nil)
	e.want(near.CloseWrite(), nil)
	near.CancelRead(1)
	near.CancelWrite(1)
	_, err = near.Read(make([]byte, 1))
	e.want(err, net.ErrClosed)
	_, err = near.Write(make([]byte, 1))
	e.want(err, net.ErrClosed)
	e.want(near.SetDeadline(time.Now()), net.ErrClosed)
	e.want(near.SetReadDeadline(time.Now()), net.ErrClosed)
	e.want(near.SetWriteDeadline(time.Now()), net.ErrClosed)
	e.alive()
}

// testCancelWrite resets the writing side of either end of a stream.
func testCancelWrite(e *env) {
	for code, swap := range map[uint64]bool{42: false, session.MaxCode: true} {
		near, far := e.streams(e.client, e.server)
		if swap {
			near, far = far, near
		}
		blocked := e.start(func() error {
			_, err := writeUntilError(near)
			return err
		})
		time.Sleep(time.Second)
		near.CancelWrite(code)
		e.wantReset(<-blocked, code, false)
		_, err := near.Write([]byte("more"))
		e.wantReset(err, code, false)
		_, err = io.Copy(io.Discard, far)
		e.wantReset(err, code, true)
		_, err = far.Read(make([]byte, 1))
		e.wantReset(err, code, true)
		e.send(far, near, "the other direction lives")
		near.Close()
		far.Close()
	}
}

// testCancelRead refuses what either end of a stream writes.
func testCancelRead(e *env) {
	for code, swap := range map[uint64]bool{7: false, session.MaxCode: true} {
		near, far := e.streams(e.client, e.server)
		if swap {
			near, far = far, near
		}
		read := e.start(func() error {
			_, err := near.Read(make([]byte, 1))
			return err
		})
		time.Sleep(time.Second)
		near.CancelRead(code)
		e.wantReset(<-read, code, false)
		_, err := near.Read(make([]byte, 1))
		e.wantReset(err, code, false)
		_, err = writeUntilError(far)
		e.wantReset(err, code, true)
		e.send(near, far, "the other direction lives")
		near.Close()
		far.Close()
	}
}

// maxUnread is a generous bound on what a writer may get rid of unread.
const maxUnread = 64 << 20

func testBackPressure(e *env) {
	near, far := e.streams(e.client, e.server)
	var wrote int
	blocked := e.start(func() (err error) {
		wrote, err = writeUntilError(near)
		return err
	})
	time.Sleep(time.Minute)
	e.alive() // a stream nobody reads does not block others
	select {
	case err := <-blocked:
		e.Fatalf("write of %d bytes that nobody reads ended: %v", wrote, err)
	default:
	}
	e.want(near.CloseWrite(), nil)
	e.want(<-blocked, net.ErrClosed)
	if wrote == 0 || wrote > maxUnread {
		e.Errorf("%d bytes were written unread", wrote)
	}
	got, err := io.Copy(io.Discard, far)
	if e.want(err, nil); int(got) != wrote {
		e.Errorf("read %d of %d bytes", got, wrote)
	}
}

func testManyStreams(e *env) {
	const count = 1200
	go func() {
		for {
			st, err := e.server.AcceptStream(e.context())
			if err != nil {
				return
			}
			go func() {
				io.Copy(st, st)
				st.Close()
			}()
		}
	}()
	// All streams are open at the same time before the first is closed.
	var open, done sync.WaitGroup
	open.Add(count)
	for i := range count {
		done.Go(func() {
			st, err := e.client.OpenStream(e.context())
			if err != nil {
				e.Error(err)
				open.Done()
				return
			}
			want := fmt.Sprintf("stream number %d", i)
			io.WriteString(st, want)
			open.Done()
			open.Wait()
			st.CloseWrite()
			if got, err := io.ReadAll(st); err != nil || string(got) != want {
				e.Errorf("echo of %q is %q, %v", want, got, err)
			}
			st.Close()
		})
	}
	done.Wait()
}

func testStreamContext(e *env) {
	near, far := e.streams(e.client, e.server)
	child, cancel := context.WithCancel(near.Context())
	defer cancel()
	e.want(near.Context().Err(), nil)
	e.want(near.CloseWrite(), nil)
	<-near.Context().Done()
	<-child.Done()
	e.want(context.Cause(child), context.Canceled)

	e.want(far.Context().Err(), nil)
	near.CancelRead(1)
	<-far.Context().Done() // the peer's refusal ends writing

	near, far = e.streams(e.client, e.server)
	e.want(e.client.Close(0, ""), nil)
	<-near.Context().Done()
	<-far.Context().Done()
}
