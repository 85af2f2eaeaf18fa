package fileserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/bdt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pipeListener accepts the ends of pipes, with rights.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

type rightsConn struct {
	net.Conn
	rights bdt.Rights
}

func (c rightsConn) Rights() bdt.Rights { return c.rights }

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// serve serves a directory and returns a function that makes requests with rights.
func serve(t *testing.T, dir string) func(rights bdt.Rights, method, path, body string) (int, string) {
	t.Helper()
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return func(rights bdt.Rights, method, path, body string) (int, string) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			ln.conns <- rightsConn{b, rights}
			return a, nil
		}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		r, err := http.NewRequest(method, "http://x", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = path // as it is
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
}

// world is a directory with a file, and a secret beside it.
func world(t *testing.T) (dir string) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "www")
	for name, text := range map[string]string{"www/a.txt": "public", "www/sub/b.txt": "below", "secret": "SECRET", "outside/c": "SECRET"} {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"up": "../secret", "dir": "../outside", "abs": filepath.Join(top, "secret"), "in": "a.txt"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Each method takes its right.
func TestRights(t *testing.T) {
	dir := world(t)
	do := serve(t, dir)
	for _, tc := range []struct {
		method, path string
		need         bdt.Rights
		status       int
	}{
		{"GET", "/a.txt", bdt.MayRead, 200},
		{"HEAD", "/a.txt", bdt.MayRead, 200},
		{"GET", "/", bdt.MayRead, 200},
		{"PUT", "/new", bdt.MayWrite, 201},
		{"PUT", "/new", bdt.MayWrite, 204},
		{"PUT", "/deep/er/new", bdt.MayWrite, 201},
		{"DELETE", "/new", bdt.MayWrite, 204},
	} {
		if status, _ := do(bdt.AllRights&^tc.need, tc.method, tc.path, "x"); status != http.StatusForbidden {
			t.Errorf("%s %s without the right to %v: %d", tc.method, tc.path, tc.need, status)
		}
		if status, text := do(tc.need, tc.method, tc.path, "x"); status != tc.status {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, status, text)
		}
	}
	if status, _ := do(bdt.AllRights, "POST", "/a.txt", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", status)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "deep/er/new")); err != nil || string(text) != "x" {
		t.Errorf("what was written: %q, %v", text, err)
	}
	// A request that came by no stream has no rights.
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &status{}
	s.ServeHTTP(w, &http.Request{Method: "GET", URL: mustURL(t, "/a.txt")})
	if w.code != http.StatusForbidden {
		t.Errorf("a request with no stream: %d", w.code)
	}
}

// Nothing outside is read, written or removed, and nothing of it is told.
func TestEscape(t *testing.T) {
	dir := world(t)
	do := serve(t, dir)
	for _, path := range []string{
		"/../secret", "/%2e%2e/secret", "/..%2fsecret", "/sub/../../secret", "/up", "/abs", "/dir/c", "/dir/", "//../secret", "/sub/%2e%2e/%2e%2e/secret", "/\\..\\secret", "/a.txt/../../secret",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			status, text := do(bdt.AllRights, method, path, "overwritten")
			if strings.Contains(text, "SECRET") || method == "GET" && status == 200 {
				t.Errorf("%s %s: %d %q", method, path, status, text)
			}
		}
		for _, name := range []string{"../secret", "../outside/c"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != "SECRET" {
				t.Fatalf("%s after %s: %q, %v", name, path, text, err)
			}
		}
	}
	if status, text := do(bdt.MayRead, "GET", "/in", ""); status != 200 || text != "public" {
		t.Errorf("a link that stays inside: %d %q", status, text)
	}
	if status, _ := do(bdt.AllRights, "DELETE", "/", ""); status != http.StatusBadRequest {
		t.Errorf("removing everything: %d", status)
	}
	if status, _ := do(bdt.AllRights, "DELETE", "/sub", ""); status != http.StatusConflict {
		t.Errorf("removing a directory with files: %d", status)
	}
}

// A body that breaks off leaves what was there.
func TestBrokenPut(t *testing.T) {
	dir := world(t)
	s, err := Open(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := &status{}
	s.ServeHTTP(w, (&http.Request{
		Method: "PUT", URL: mustURL(t, "/a.txt"),
		Body: io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{})),
	}).WithContext(context.WithValue(context.Background(), rightsKey{}, bdt.AllRights)))
	if w.code != http.StatusBadRequest {
		t.Errorf("status %d", w.code)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "a.txt")); string(text) != "public" {
		t.Errorf("the file now holds %q", text)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".put-") {
			t.Errorf("%s is left over", e.Name())
		}
	}
}

// Many at once write one file: in the end it is what one of them wrote.
func TestConcurrentPut(t *testing.T) {
	dir := world(t)
	do := serve(t, dir)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			if status, text := do(bdt.MayWrite, "PUT", "/same", strings.Repeat(fmt.Sprint(i), 10_000)); status >= 300 {
				t.Errorf("status %d: %s", status, text)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(filepath.Join(dir, "same"))
	if err != nil || len(text) != 10_000 || strings.Trim(string(text), string(text[:1])) != "" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// status is a ResponseWriter that keeps the status.
type status struct{ code int }

func (s *status) Header() http.Header         { return http.Header{} }
func (s *status) Write(b []byte) (int, error) { return len(b), nil }
func (s *status) WriteHeader(code int)        { s.code = code }

func mustURL(t *testing.T, path string) *url.URL {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A page is there by its name, and for its directory.
func TestIndex(t *testing.T) {
	dir := world(t)
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<p>page"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := serve(t, dir)
	for _, path := range []string{"/index.html", "/"} {
		if status, text := do(bdt.MayRead, "GET", path, ""); status != http.StatusOK || text != "<p>page" {
			t.Errorf("GET %s: %d %s", path, status, text)
		}
	}
	if status, _ := do(bdt.MayRead, "GET", "/sub", ""); status != http.StatusMovedPermanently {
		t.Errorf("GET of a directory without its slash: %d", status)
	}
}
