package daemon

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

const (
	// protocolVersion changes with every change of the protocol.
	protocolVersion = 1
	headerVersion   = "Bdt-Protocol"
	headerPeer      = "Bdt-Peer"   // the id at the other end of a stream
	headerRights    = "Bdt-Rights" // what it was granted, a number
	upgradeStream   = "bdt-stream"
	upgradeListener = "bdt-listener"

	// What other processes can have of this one.
	maxConns     = 512      // connections; the next ones wait
	maxListeners = 64       // services that they serve
	maxBody      = 16 << 10 // bytes of a request's body: a ticket has 4 KiB

	headerTimeout = 10 * time.Second
)

// A Server lets other processes use a device.
type Server struct {
	device Device
	log    *slog.Logger
	claim  *Claim
	http   http.Server
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup // the HTTP server and its requests

	mu        sync.Mutex
	closed    bool
	upgraded  map[net.Conn]struct{}
	listeners map[string]Listener // by their numbers
	last      uint64              // number of a listener
}

// Serve lets the user's other processes use a device, until the server is closed. It
// takes the claim over.
func Serve(claim *Claim, device Device, logger *slog.Logger) (*Server, error) {
	ln, err := claim.listen()
	if err != nil {
		return nil, err
	}
	s := &Server{
		device:    device,
		log:       logger,
		claim:     claim,
		upgraded:  make(map[net.Conn]struct{}),
		listeners: make(map[string]Listener),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.http = http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
	}
	s.work.Go(func() { s.http.Serve(netutil.LimitListener(ln, maxConns)) })
	return s, nil
}

// Close ends what other processes do with the device, which stays open, and gives
// the claim up.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.upgraded {
		c.Close()
	}
	s.mu.Unlock()
	s.cancel()
	err := s.http.Close()
	s.work.Wait()
	s.claim.Release()
	return err
}

// handler returns the routes.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", answer(func(r *http.Request) (any, error) { return s.device.Status(r.Context()) }))
	mux.HandleFunc("GET /v1/peers", answer(func(r *http.Request) (any, error) { return s.device.Peers(r.Context()) }))
	mux.HandleFunc("GET /v1/explain", answer(func(r *http.Request) (any, error) {
		id, err := peerOf(r)
		if err != nil {
			return nil, err
		}
		return s.device.Explain(r.Context(), id)
	}))
	mux.HandleFunc("POST /v1/ping", answer(func(r *http.Request) (any, error) {
		id, err := peerOf(r)
		if err != nil {
			return nil, err
		}
		return s.device.Ping(r.Context(), id)
	}))
	mux.HandleFunc("POST /v1/learn", answer(func(r *http.Request) (any, error) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		ticket, err := identity.ParseTicket(string(text))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		return struct{}{}, s.device.Learn(r.Context(), ticket)
	}))
	mux.HandleFunc("POST /v1/netcheck", s.netCheck)
	mux.HandleFunc("POST /v1/dial", s.dial)
	mux.HandleFunc("POST /v1/listen", s.listen)
	mux.HandleFunc("POST /v1/accept", s.accept)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, fmt.Errorf("%w: %s %s", errRequest, r.Method, r.URL.Path))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			return
		}
		defer s.work.Done()
		w.Header().Set(headerVersion, strconv.Itoa(protocolVersion))
		if got := r.Header.Get(headerVersion); got != strconv.Itoa(protocolVersion) {
			fail(w, fmt.Errorf("%w: it speaks version %d of the local protocol, not %.20q", ErrVersion, protocolVersion, got))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
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

// answer makes a handler of what returns something to encode.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v) // fails if the other end has gone
	}
}

// netCheck answers with a report, in gob: its JSON is for people's programs, and has no
// way back.
func (s *Server) netCheck(w http.ResponseWriter, r *http.Request) {
	report, err := s.device.NetCheck(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	gob.NewEncoder(w).Encode(report) // fails if the other end has gone
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	status := http.StatusBadGateway
	if errors.Is(err, errRequest) || errors.Is(err, ErrVersion) {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(newWireError(err))
}

// peerOf returns the id that a request is about.
func peerOf(r *http.Request) (identity.ID, error) {
	id, err := identity.ParseID(r.FormValue("id"))
	if err != nil {
		return id, fmt.Errorf("%w: %w", errRequest, err)
	}
	return id, nil
}

// dial opens a stream for another process.
func (s *Server) dial(w http.ResponseWriter, r *http.Request) {
	id, err := peerOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	stream, err := s.device.Dial(r.Context(), id, r.FormValue("service"))
	if err != nil {
		fail(w, err)
		return
	}
	s.hand(w, r, stream)
}

// hand hands a stream over to the process that has asked for it.
func (s *Server) hand(w http.ResponseWriter, r *http.Request, stream Stream) {
	peer := stream.RemoteAddr().(bdt.Addr)
	header := fmt.Sprintf("%s: %s\r\n%s: %d\r\n", headerPeer, peer.ID, headerRights, stream.Rights())
	conn, frames, err := s.upgrade(w, r, upgradeStream, header)
	if err != nil {
		stream.Reset(0)
		fail(w, err)
		return
	}
	defer s.done(conn)
	defer context.AfterFunc(s.ctx, func() { stream.Reset(0) })()
	carry(conn, frames, stream)
}

// listen serves a service for another process, as long as its connection lasts.
func (s *Server) listen(w http.ResponseWriter, r *http.Request) {
	ln, err := s.device.Listen(r.Context(), r.FormValue("service"), r.FormValue("who"))
	if err != nil {
		fail(w, err)
		return
	}
	defer ln.Close()
	number, err := s.add(ln)
	if err != nil {
		fail(w, err)
		return
	}
	defer s.remove(number)
	conn, _, err := s.upgrade(w, r, upgradeListener, "Bdt-Listener: "+number+"\r\n")
	if err != nil {
		fail(w, err)
		return
	}
	defer s.done(conn)
	io.Copy(io.Discard, conn) // until it is closed
}

// add keeps a listener under a number.
func (s *Server) add(ln Listener) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.listeners) >= maxListeners {
		return "", fmt.Errorf("%w: %d services are listened for", errTooMany, maxListeners)
	}
	s.last++
	number := strconv.FormatUint(s.last, 10)
	s.listeners[number] = ln
	return number, nil
}

func (s *Server) remove(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, number)
}

// accept hands over the next stream of a listener.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ln := s.listeners[r.FormValue("listener")]
	s.mu.Unlock()
	if ln == nil {
		fail(w, bdt.ErrClosed)
		return
	}
	stream, err := ln.Accept(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	s.hand(w, r, stream)
}

// upgrade turns a request into a connection of its own; header is further lines of
// the response. The caller calls done when it is over.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, protocol, header string) (net.Conn, *frameReader, error) {
	if r.Header.Get("Upgrade") != protocol {
		return nil, nil, fmt.Errorf("%w: no upgrade to %s", errRequest, protocol)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, bdt.ErrClosed
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	conn.SetDeadline(time.Time{})
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %d\r\n%s\r\n",
		protocol, headerVersion, protocolVersion, header)
	buffered.Flush() // if that fails, so does what follows
	s.upgraded[conn] = struct{}{}
	return conn, newFrameReader(buffered.Reader), nil
}

// done ends what upgrade began.
func (s *Server) done(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	delete(s.upgraded, conn)
	s.mu.Unlock()
}
