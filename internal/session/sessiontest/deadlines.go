package sessiontest

import (
	"io"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

var deadlineTests = []test{
	{name: "Past", f: testPastDeadline},
	{name: "Future", f: testFutureDeadline},
	{name: "Moved", f: testMovedDeadline},
}

func read1(st session.Stream) error {
	_, err := io.ReadFull(st, make([]byte, 1))
	return err
}

func testPastDeadline(e *env) {
	near, far := e.streams(e.client, e.server)
	start := time.Now()
	e.want(near.SetDeadline(start.Add(-time.Second)), nil)
	e.wantTimeout(read1(near))
	n, err := near.Write([]byte("x"))
	if e.wantTimeout(err); n != 0 {
		e.Errorf("wrote %d bytes past the deadline", n)
	}
	if d := time.Since(start); d != 0 {
		e.Errorf("took %v", d)
	}
	// Deadlines of one direction leave the other alone, and can be lifted.
	e.want(near.SetWriteDeadline(time.Time{}), nil)
	e.send(near, far, "written")
	e.wantTimeout(read1(near))
	e.want(near.SetReadDeadline(time.Time{}), nil)
	e.send(far, near, "read")
}

func testFutureDeadline(e *env) {
	near, far := e.streams(e.client, e.server)
	const read, write = 3 * time.Second, 7 * time.Second
	start := time.Now()
	e.want(near.SetReadDeadline(start.Add(read)), nil)
	e.want(near.SetWriteDeadline(start.Add(write)), nil)
	done := e.start(func() error { return read1(near) })
	var wrote int
	written := e.start(func() (err error) {
		wrote, err = writeUntilError(near)
		return err
	})
	e.wantTimeout(<-done)
	if d := time.Since(start); d != read {
		e.Errorf("read timed out after %v, want %v", d, read)
	}
	e.wantTimeout(<-written)
	if d := time.Since(start); d != write {
		e.Errorf("write timed out after %v, want %v", d, write)
	}
	// What Write counted arrives; no more, no less.
	e.want(near.CloseWrite(), nil)
	got, err := io.Copy(io.Discard, far)
	if e.want(err, nil); int(got) != wrote {
		e.Errorf("read %d bytes, but Write took %d", got, wrote)
	}
}

// testMovedDeadline moves deadlines under a waiting Read.
func testMovedDeadline(e *env) {
	near, _ := e.streams(e.client, e.server)
	start := time.Now()
	e.want(near.SetReadDeadline(start.Add(time.Hour)), nil)
	done := e.start(func() error { return read1(near) })
	time.Sleep(time.Second)
	e.want(near.SetReadDeadline(start.Add(2*time.Second)), nil)
	e.wantTimeout(<-done)
	if d := time.Since(start); d != 2*time.Second {
		e.Errorf("deadline moved forward: timed out after %v", d)
	}

	start = time.Now()
	e.want(near.SetDeadline(start.Add(time.Second)), nil)
	done = e.start(func() error { return read1(near) })
	time.Sleep(time.Second / 2)
	e.want(near.SetDeadline(start.Add(5*time.Second)), nil)
	e.wantTimeout(<-done)
	if d := time.Since(start); d != 5*time.Second {
		e.Errorf("deadline moved back: timed out after %v", d)
	}
}
