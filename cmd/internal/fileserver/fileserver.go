// Package fileserver is a directory that others can read over HTTP, and write if they
// may: GET and HEAD take the right to read, PUT and DELETE the right to write.
package fileserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

const (
	// maxStreams bounds the streams that one directory serves at once.
	maxStreams = 1024
	// idle is how long a stream may be without a request.
	idle = 2 * time.Minute
)

// A Server serves one directory.
type Server struct {
	root *os.Root
	http http.Server

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup // requests
}

// A granted connection knows what its caller may do, as *bdt.Conn does.
type granted interface{ Rights() bdt.Rights }

// rightsKey finds the rights in a request's context.
type rightsKey struct{}

// Open opens a directory. Nothing outside of it is served, whatever links in it say.
func Open(dir string, logger *slog.Logger) (*Server, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{root: root}
	s.http = http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       idle,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			var r bdt.Rights
			if g, ok := c.(granted); ok {
				r = g.Rights()
			}
			return context.WithValue(ctx, rightsKey{}, r)
		},
	}
	return s, nil
}

// Serve serves the streams of a listener until that or the server is closed.
func (s *Server) Serve(ln net.Listener) error {
	err := s.http.Serve(newLimited(ln, maxStreams))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends all streams and waits for what they were doing.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.http.Close()
	s.work.Wait()
	return errors.Join(err, s.root.Close())
}

// begin has Close wait for a request, unless it is too late for one.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.work.Add(1)
	}
	return !s.closed
}

// needs is the right that a method takes; 0: no such method.
func needs(method string) bdt.Rights {
	switch method {
	case http.MethodGet, http.MethodHead:
		return bdt.MayRead
	case http.MethodPut, http.MethodDelete:
		return bdt.MayWrite
	}
	return 0
}

// ServeHTTP implements http.Handler. Requests that come by other ways than Serve have
// no rights.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.work.Done()
	rights, _ := r.Context().Value(rightsKey{}).(bdt.Rights)
	need := needs(r.Method)
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	switch {
	case need == 0:
		w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
		http.Error(w, "this directory knows GET, HEAD, PUT and DELETE", http.StatusMethodNotAllowed)
	case !rights.Has(need):
		http.Error(w, fmt.Sprintf("%s takes the right to %s, which this device does not have here", r.Method, need), http.StatusForbidden)
	case need == bdt.MayRead:
		s.read(w, r, name)
	case name == "":
		http.Error(w, "name a file", http.StatusBadRequest)
	case r.Method == http.MethodPut:
		s.put(w, r, name)
	default:
		s.answer(w, s.root.Remove(name), http.StatusNoContent)
	}
}

// read serves a file, in parts if asked for (RFC 9110 §14), or lists a directory.
func (s *Server) read(w http.ResponseWriter, r *http.Request, name string) {
	// Opening a pipe or a device could block, or do something.
	info, err := s.root.Stat(nameOr(name, "."))
	switch {
	case err == nil && !info.IsDir() && !info.Mode().IsRegular():
		err = fs.ErrPermission
	case err != nil && !errors.Is(err, fs.ErrPermission):
		err = fs.ErrNotExist // or a link that leads outside: the caller need not know
	}
	if err != nil {
		s.answer(w, err, 0)
		return
	}
	if !info.IsDir() && !strings.HasSuffix(r.URL.Path, "/") {
		s.file(w, r, name)
		return
	}
	http.FileServerFS(s.root.FS()).ServeHTTP(w, r)
}

// file serves a file by its name, index.html, too, from which net/http's own server
// leads away.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.root.Open(name)
	if err != nil {
		s.answer(w, err, 0)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		s.answer(w, err, 0)
		return
	}
	http.ServeContent(w, r, name, info.ModTime(), f)
}

func nameOr(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

// put writes a file, with the directories above it. Until all of it is there, an
// earlier one stays.
func (s *Server) put(w http.ResponseWriter, r *http.Request, name string) {
	dir := path.Dir(name)
	if err := s.root.MkdirAll(dir, 0o777); err != nil {
		s.answer(w, err, 0)
		return
	}
	_, err := s.root.Stat(name)
	status := http.StatusNoContent
	if errors.Is(err, fs.ErrNotExist) {
		status = http.StatusCreated
	}
	s.answer(w, s.write(dir, name, r.Body), status)
}

// write writes a file beside its place and moves it there.
func (s *Server) write(dir, name string, body io.Reader) error {
	part := path.Join(dir, ".put-"+random())
	f, err := s.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = s.root.Rename(part, name)
	}
	if err != nil {
		s.root.Remove(part)
	}
	return err
}

// answer answers with a status, or with what an error is to the caller, who does not
// learn names outside of the directory.
func (s *Server) answer(w http.ResponseWriter, err error, status int) {
	switch {
	case err == nil:
		w.WriteHeader(status)
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "there is no such file", http.StatusNotFound)
	case errors.Is(err, fs.ErrPermission):
		http.Error(w, "that cannot be done with this file", http.StatusForbidden)
	case errors.Is(err, io.ErrUnexpectedEOF):
		http.Error(w, "the file ended too soon", http.StatusBadRequest)
	default:
		http.Error(w, "that cannot be done here", http.StatusConflict)
	}
}
