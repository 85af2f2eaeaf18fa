package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// One process holds an identity, and says which it is. What a killed one has left
// does not matter.
func TestTake(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	id := newWorld(t).near.ID()
	ctx := within(t)
	if _, err := Connect(ctx, id); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Connect to nobody: %v", err)
	}
	first, err := Take(id, Holder{PID: 7, Command: "bdt up"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Take(id, Holder{PID: 8})
	held, ok := errors.AsType[*HeldError](err)
	if !ok || held.PID != 7 || held.Error() != "'bdt up', process 7, runs this device already" {
		t.Errorf("Take twice: %v", err)
	}
	// A process with another environment finds it, too.
	runtime := os.Getenv("XDG_RUNTIME_DIR")
	other := t.TempDir()
	t.Setenv("TMPDIR", runtime)
	if err := os.Rename(filepath.Join(runtime, "bdt"), filepath.Join(runtime, fmt.Sprintf("bdt-%d", os.Getuid()))); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", other)
	if _, err := Take(id, Holder{PID: 9}); !errors.As(err, &held) {
		t.Errorf("Take elsewhere: %v", err)
	}
	first.Release()

	// A socket that nobody listens at.
	stale, err := Take(id, Holder{})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := stale.listen()
	if err != nil {
		t.Fatal(err)
	}
	ln.(guarded).Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	if _, err := Connect(ctx, id); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Connect to a stale socket: %v", err)
	}
	if list := Running(ctx); len(list) != 0 {
		t.Errorf("a stale socket runs: %v", list)
	}
	stale.Release()
	again, err := Take(id, Holder{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if ln, err = again.listen(); err != nil {
		t.Fatalf("the stale socket is in the way: %v", err)
	}
	ln.Close()
}

// A directory to which others have access is not used.
func TestDirectory(t *testing.T) {
	id := newWorld(t).near.ID()
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	for name, make := range map[string]func(string) error{
		"open":    func(p string) error { return errors.Join(os.Mkdir(p, 0o700), os.Chmod(p, 0o755)) },
		"link":    func(p string) error { return os.Symlink(t.TempDir(), p) },
		"no file": func(p string) error { return os.WriteFile(p, nil, 0o600) },
	} {
		p := filepath.Join(dir, "bdt")
		os.RemoveAll(p)
		if err := make(p); err != nil {
			t.Fatal(err)
		}
		if c, err := Take(id, Holder{}); err == nil {
			c.Release()
			t.Errorf("%s: taken", name)
		}
	}
	// One whose name is too long for a socket is passed over.
	long := filepath.Join(dir, strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_RUNTIME_DIR", long)
	t.Setenv("TMPDIR", dir)
	c, err := Take(id, Holder{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if strings.HasPrefix(c.place.dir, long) || len(c.place.socket()) > maxSocketPath {
		t.Errorf("the socket is %s", c.place.socket())
	}
}

// Who else makes the directory among the temporary files, or puts something there, does
// not keep this user from an identity whose files lie elsewhere.
func TestForeignDirectory(t *testing.T) {
	id := newWorld(t).near.ID()
	own, shared := t.TempDir(), t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", own)
	t.Setenv("TMPDIR", shared)
	foreign := places(id)[1]
	if err := errors.Join(os.Mkdir(foreign.dir, 0o700), os.Chmod(foreign.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(foreign.lock())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if free, err := tryLock(lock); err != nil || !free {
		t.Fatalf("free %v, %v", free, err)
	}
	ln, err := net.Listen("unix", foreign.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := Connect(within(t), id); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Connect: %v", err)
	}
	c, err := Take(id, Holder{})
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
}

func TestRunning(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // not what this user really runs
	w := newWorld(t)
	s, c := w.serve(t)
	ctx := within(t)
	list := Running(ctx)
	if len(list) != 1 || list[0].ID() != w.near.ID() {
		t.Errorf("running: %v", list)
	}
	for _, c := range list {
		c.Close()
	}
	info, err := os.Stat(c.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info.Mode(), err)
	}
	s.Close()
	if _, err := c.Status(ctx); !errors.Is(err, ErrNotRunning) && !errors.Is(err, ErrGone) {
		t.Errorf("Status of one that has ended: %v", err)
	}
}

// A client of another version is told, and so is ours by a server of another.
func TestVersion(t *testing.T) {
	w := newWorld(t)
	_, c := w.serve(t)
	for _, version := range []string{"", "0", "999", strings.Repeat("9", 1000)} {
		r, _ := request(within(t), "GET", "status", nil, nil)
		r.Header.Set(headerVersion, version)
		resp, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(resp, http.StatusOK); !errors.Is(err, ErrVersion) {
			t.Errorf("version %.20q: %v", version, err)
		}
		resp.Body.Close()
	}
	future := http.Response{StatusCode: 200, Header: http.Header{headerVersion: {"2"}}}
	if err := check(&future, http.StatusOK); !errors.Is(err, ErrVersion) {
		t.Errorf("a server of version 2: %v", err)
	}
}

// A process that dies leaves no stream and no service behind.
func TestClientDies(t *testing.T) {
	w := newWorld(t)
	_, c := w.serve(t)
	learn(t, w, c)
	near, far := dial(t, w, c)
	near.Write([]byte("x"))
	if _, err := io.ReadFull(far, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	ln, err := c.Listen(within(t), "here", "everyone")
	if err != nil {
		t.Fatal(err)
	}
	near.(*remoteStream).conn.Close()
	ln.(*remoteListener).conn.Close()
	if _, err := far.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("the far end reads %v", err)
	}
	for {
		again, err := w.near.Listen(within(t), "here", "everyone")
		if errors.Is(err, bdt.ErrServiceInUse) {
			continue // not seen yet
		}
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		break
	}
	ln.Close()
}

// When the process that runs the device ends, the others are told.
func TestServerEnds(t *testing.T) {
	w := newWorld(t)
	s, c := w.serve(t)
	learn(t, w, c)
	near, _ := dial(t, w, c)
	ln, err := c.Listen(within(t), "here", "everyone")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	accepted := make(chan error, 1)
	go func() {
		_, err := ln.Accept(within(t))
		accepted <- err
	}()
	s.Close()
	if _, err := near.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a stream reads %v", err)
	}
	if err := <-accepted; err == nil {
		t.Error("Accept succeeds")
	}
	if _, err := c.Dial(within(t), w.far.ID(), "x"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Dial: %v", err)
	}
}

// Many processes use one device at once.
func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	_, c := w.serve(t)
	learn(t, w, c)
	ctx := within(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			s, err := c.Dial(ctx, w.far.ID(), bdt.EchoService)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			s.SetDeadline(time.Now().Add(patience))
			sent := bytes.Repeat([]byte{byte(i)}, 50_000)
			all.Go(func() {
				s.Write(sent)
				s.CloseWrite()
			})
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("stream %d: %d bytes, %v", i, len(got), err)
			}
		})
		all.Go(func() {
			if _, err := c.Ping(ctx, w.far.ID()); err != nil {
				t.Error(err)
			}
			if _, err := c.Peers(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// More services than the bound are refused, with words.
func TestTooManyListeners(t *testing.T) {
	w := newWorld(t)
	_, c := w.serve(t)
	for i := range maxListeners + 1 {
		ln, err := c.Listen(within(t), fmt.Sprintf("s%d", i), "everyone")
		if i == maxListeners {
			if err == nil || !strings.Contains(err.Error(), "too many") {
				t.Errorf("listener %d: %v", i, err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
	}
}

// Every cause survives the way, and nothing else becomes one.
func TestCauses(t *testing.T) {
	for _, c := range causes {
		err := newWireError(fmt.Errorf("op: %w", c.err)).err()
		if !errors.Is(err, c.err) || err.Error() != "op: "+c.err.Error() {
			t.Errorf("%s arrives as %v", c.name, err)
		}
		for _, other := range causes {
			if other != c && errors.Is(err, other.err) != errors.Is(c.err, other.err) {
				t.Errorf("%s is taken for %s", c.name, other.name)
			}
		}
	}
	if err := newWireError(errors.New("x")).err(); errors.Unwrap(err) != nil {
		t.Errorf("an error of no known cause has one: %v", errors.Unwrap(err))
	}
}

// Package bdt has no cause that would be lost on the way.
func TestCausesComplete(t *testing.T) {
	files, err := filepath.Glob("../../../bdt/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	table, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^\s*(?:var )?(Err\w+)\s+=`).FindAllSubmatch(text, -1) {
			if found++; !bytes.Contains(table, append([]byte("bdt."), append(m[1], '}')...)) {
				t.Errorf("bdt.%s is not among the causes: give it a name in errors.go", m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d causes: the test does not see them", found)
	}
}

// pipe is a Device whose streams go nowhere.
type pipe struct{ Device }

func (pipe) Dial(context.Context, identity.ID, string) (Stream, error) {
	a, b := net.Pipe()
	go io.Copy(b, b)
	return pipeStream{a}, nil
}
func (pipe) Ping(context.Context, identity.ID) (time.Duration, error) { return 1, nil }
func (pipe) Learn(context.Context, identity.Ticket) error             { return nil }
func (pipe) Status(context.Context) (*Status, error)                  { return &Status{}, nil }
func (pipe) Peers(context.Context) ([]Peer, error)                    { return nil, nil }
func (pipe) Explain(context.Context, identity.ID) (*Explanation, error) {
	return nil, ErrUnknown
}
func (pipe) Listen(context.Context, string, string) (Listener, error) { return nil, errTooMany }

type pipeStream struct{ net.Conn }

func (p pipeStream) CloseWrite() error  { return p.Close() }
func (p pipeStream) Reset(uint32)       { p.Close() }
func (pipeStream) Rights() bdt.Rights   { return bdt.AllRights }
func (pipeStream) RemoteAddr() net.Addr { return bdt.Addr{} }

// Whatever another process sends, the server answers in HTTP or hangs up, and lives.
func FuzzServer(f *testing.F) {
	const id = "5aSixgM8AdcAMCPHdkPEwwcuUzT3aJZhkdkVYj5SXKct"
	for _, line := range []string{
		"GET /v1/status", "GET /v1/peers", "GET /v1/explain?id=" + id, "POST /v1/ping?id=x", "POST /v1/learn", "GET /", "POST /v1/listen?service=a&who=b", "POST /v1/accept?listener=1",
	} {
		f.Add([]byte(line + " HTTP/1.1\r\nHost: x\r\nBdt-Protocol: 1\r\nContent-Length: 3\r\n\r\nabc"))
	}
	dial := "POST /v1/dial?id=" + id + "&service=a HTTP/1.1\r\nHost: x\r\nBdt-Protocol: 1\r\nConnection: Upgrade\r\nUpgrade: bdt-stream\r\n\r\n"
	f.Add([]byte(dial))
	f.Add(appendFrame(appendFrame([]byte(dial), frameData, []byte("abc")), frameEnd, nil))
	f.Add(appendFrame([]byte(dial), frameReset, []byte{0, 0, 0, 1}))
	f.Add(append([]byte(dial), 9, 9, 9, 9))

	dir := f.TempDir()
	f.Setenv("XDG_RUNTIME_DIR", dir)
	var id0 identity.ID
	id0[0] = 0x44
	claim, err := Take(id0, Holder{})
	if err != nil {
		f.Fatal(err)
	}
	s, err := Serve(claim, pipe{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	f.Fuzz(func(t *testing.T, request []byte) {
		c, err := net.Dial("unix", claim.place.socket())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		go func() {
			c.Write(request)
			c.(*net.UnixConn).CloseWrite()
		}()
		r := bufio.NewReader(c)
		if head, err := r.Peek(5); err == nil && string(head) != "HTTP/" {
			t.Errorf("the answer begins with %q", head)
		}
		io.Copy(io.Discard, r)
	})
}

// Frames that are cut, joined and mistaken are read as what they are or refused.
func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, frameData, []byte("abc")), frameEnd, nil))
	f.Add(errorFrame(frameError, bdt.ErrDenied))
	f.Add(errorFrame(frameRefused, &bdt.ResetError{Code: 7}))
	f.Add([]byte{0, 255, 255, 1})
	f.Fuzz(func(t *testing.T, text []byte) {
		frames := newFrameReader(bytes.NewReader(text))
		var again []byte
		for {
			kind, payload, err := frames.next()
			if err != nil {
				break
			}
			if kind == frameData {
				b := make([]byte, frames.left)
				if _, err := frames.read(b); err != nil {
					break
				}
				continue
			}
			again = appendFrame(again, kind, payload)
			if kind == frameError && parseErrorFrame(payload) == nil {
				t.Error("an error that is none")
			}
		}
		if len(again) > len(text) {
			t.Errorf("%d bytes of frames from %d", len(again), len(text))
		}
	})
}
