package session_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/session/sessiontest"
)

const client, server = sessiontest.Client, sessiontest.Server

func fatal(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func TestNewQUICRefusesBadConfig(t *testing.T) {
	good, _ := sessiontest.NewIdentity("x")
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	for name, c := range map[string]session.QUICConfig{
		"no identity":      {},
		"other key":        {Identity: session.Identity{Signer: other}},
		"negative timeout": {Identity: good, HandshakeTimeout: -1},
		"negative streams": {Identity: good, MaxStreams: -1},
		"negative window":  {Identity: good, StreamWindow: -1},
		"negative session": {Identity: good, SessionWindow: -1},
		"negative sum":     {Identity: good, IncomingWindows: -1},
		"negative queue":   {Identity: good, QueueBytes: -1},
		"tiny queue":       {Identity: good, QueueBytes: 100000},
	} {
		if e, err := session.NewQUIC(c); err == nil {
			e.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

// A rig is two engines whose ports tests attach themselves.
type rig struct {
	*testing.T
	engines [2]session.Engine
	secrets [2]session.Secrets
}

// inBubble runs f with a rig of engines with limits as in c.
func inBubble(t *testing.T, c session.QUICConfig, f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t}
		for i, name := range []string{"client", "server"} {
			id, key := sessiontest.NewIdentity(name)
			c.Identity = id
			e, err := session.NewQUIC(c)
			fatal(t, err)
			t.Cleanup(func() { e.Close() })
			r.engines[i] = e
			r.secrets[1-i].Peer = key
		}
		f(r)
	})
}

// attach makes a port at one end.
func (r *rig) attach(e sessiontest.End, c session.Carrier) session.Port {
	r.Helper()
	p, err := r.engines[e].Attach(c, r.secrets[e])
	fatal(r, err)
	return p
}

// connect opens a session over n.
func (r *rig) connect(n *sessiontest.Network) (c, s session.Session) {
	r.Helper()
	near, far := r.attach(client, n.Carrier(client)), r.attach(server, n.Carrier(server))
	n.Connect(client, near)
	n.Connect(server, far)
	c, err := near.Dial(r.Context())
	fatal(r, err)
	s, err = far.Accept(r.Context())
	fatal(r, err)
	return c, s
}

// echo answers all streams of s.
func echo(s session.Session) {
	for {
		st, err := s.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			io.Copy(st, st)
			st.Close()
		}()
	}
}

// ask sends b on a new stream and wants it back.
func ask(t testing.TB, s session.Session, b []byte) {
	t.Helper()
	st, err := s.OpenStream(t.Context())
	fatal(t, err)
	go func() {
		st.Write(b)
		st.CloseWrite()
	}()
	got, err := io.ReadAll(st)
	fatal(t, err)
	if !bytes.Equal(got, b) {
		t.Fatalf("%d bytes came back as %d, or others", len(b), len(got))
	}
	st.Close()
}

// TestQUICFirstFlight wants no delay beyond what TLS 1.3 in QUIC has: on a
// path with an RTT of P, the first answer 2 P after Dial.
func TestQUICFirstFlight(t *testing.T) {
	inBubble(t, session.QUICConfig{}, func(r *rig) {
		const p = 100 * time.Millisecond
		n := sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: p / 2})
		near, far := r.attach(client, n.Carrier(client)), r.attach(server, n.Carrier(server))
		n.Connect(client, near)
		n.Connect(server, far)
		start := time.Now()
		took := func(what string, want time.Duration) {
			if d := time.Since(start); d != want {
				r.Errorf("%s after %v, want %v", what, d, want)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			s, err := far.Accept(r.Context())
			if err != nil {
				r.Error(err)
				return
			}
			took("accepted", 3*p/2)
			echo(s)
		})
		c, err := near.Dial(r.Context())
		fatal(r, err)
		took("dialled", p)
		ask(r, c, []byte("question"))
		took("answered", 2*p)
		c.Close(0, "")
		wg.Wait()
	})
}

// TestQUICForeignPort delivers a session's packets through the port of
// another path. They count, but move nothing: answers stay on the path.
func TestQUICForeignPort(t *testing.T) {
	inBubble(t, session.QUICConfig{}, func(r *rig) {
		delay := sessiontest.Conditions{Delay: time.Millisecond}
		n, other := sessiontest.NewNetwork(r, delay), sessiontest.NewNetwork(r, delay)
		c, s := r.connect(n)
		go echo(s)
		ask(r, c, make([]byte, 100_000))
		n.Connect(server, r.attach(server, other.Carrier(server)))
		ask(r, c, make([]byte, 100_000))
		if sent := other.Sent(server); sent != 0 {
			r.Errorf("%d packets went where another port's came from", sent)
		}
	})
}

// A logBuffer is a strings.Builder for many goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestQUICHandshakeFlood leaves handshakes at a port unfinished, wants more of
// them refused, and room again when they have timed out.
func TestQUICHandshakeFlood(t *testing.T) {
	var log logBuffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inBubble(t, session.QUICConfig{Logger: logger}, func(r *rig) {
		n := sessiontest.NewNetwork(r, sessiontest.Conditions{})
		far := r.attach(server, n.Carrier(server))
		n.Connect(server, far) // and nothing for the client: it hears no answers
		for range 4 {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			_, err := r.attach(client, n.Carrier(client)).Dial(ctx)
			if cancel(); err == nil {
				r.Fatal("dialled without hearing an answer")
			}
		}
		near := r.attach(client, n.Carrier(client))
		n.Connect(client, near)
		if _, err := near.Dial(r.Context()); !errors.Is(err, session.ErrRefused) {
			r.Fatalf("one handshake too many: %v", err)
		}
		if !strings.Contains(log.String(), "session refused") {
			r.Errorf("log is %q", log.String())
		}
		time.Sleep(time.Minute)
		near = r.attach(client, n.Carrier(client))
		n.Connect(client, near)
		c, err := near.Dial(r.Context())
		fatal(r, err)
		s, err := far.Accept(r.Context())
		fatal(r, err)
		go echo(s)
		ask(r, c, []byte("room again"))
	})
}

// A spy is a carrier that notes what it is given.
type spy struct {
	session.Carrier
	mu      sync.Mutex
	longest int            // packets in a run
	sizes   map[int]bool   // of segments
	ecn     map[uint8]int  // packets by marking
	last    map[uint8]bool // markings of the last data run
}

func (s *spy) WritePackets(b []byte, segment int, ecn uint8) {
	s.mu.Lock()
	if segment > 0 {
		s.longest = max(s.longest, (len(b)+segment-1)/segment)
		s.sizes[segment] = true
		s.last = map[uint8]bool{ecn: true}
	}
	s.ecn[ecn]++
	s.mu.Unlock()
	s.Carrier.WritePackets(b, segment, ecn)
}

// TestQUICRuns wants bulk data in runs of full packets, marked as capable of
// ECN, and markings to arrive: without their echo quic-go stops marking.
func TestQUICRuns(t *testing.T) {
	inBubble(t, session.QUICConfig{}, func(r *rig) {
		n := sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: time.Millisecond})
		out := &spy{Carrier: n.Carrier(client), sizes: map[int]bool{}, ecn: map[uint8]int{}}
		near, far := r.attach(client, out), r.attach(server, n.Carrier(server))
		n.Connect(client, near)
		n.Connect(server, far)
		c, err := near.Dial(r.Context())
		fatal(r, err)
		s, err := far.Accept(r.Context())
		fatal(r, err)
		go echo(s)
		ask(r, c, make([]byte, 1<<20))
		out.mu.Lock()
		defer out.mu.Unlock()
		if out.longest < 10 || len(out.sizes) != 1 || !out.sizes[1200] {
			r.Errorf("runs of up to %d packets of %v bytes", out.longest, out.sizes)
		}
		if out.ecn[2] == 0 || !out.last[2] {
			r.Errorf("packets by ECN marking: %v, last %v; want ECT(0) to the end", out.ecn, out.last)
		}
	})
}

func TestQUICMaxStreams(t *testing.T) {
	inBubble(t, session.QUICConfig{MaxStreams: 2}, func(r *rig) {
		c, s := r.connect(sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: time.Millisecond}))
		go echo(s)
		first, err := c.OpenStream(r.Context())
		fatal(r, err)
		_, err = c.OpenStream(r.Context())
		fatal(r, err)
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if _, err = c.OpenStream(ctx); err != context.DeadlineExceeded {
			r.Fatalf("third of two streams: %v", err)
		}
		first.Close()
		third, err := c.OpenStream(r.Context())
		fatal(r, err)
		third.Close()
	})
}

func TestQUICIdleTimeout(t *testing.T) {
	inBubble(t, session.QUICConfig{}, func(r *rig) {
		c, s := r.connect(sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: time.Millisecond}))
		start := time.Now()
		<-c.Done()
		<-s.Done()
		if d := time.Since(start).Round(time.Minute); d != 24*time.Hour {
			r.Errorf("sessions ended after %v", d)
		}
		if c.Err() != session.ErrIdleTimeout || s.Err() != session.ErrIdleTimeout {
			r.Errorf("sessions ended with %v and %v", c.Err(), s.Err())
		}
	})
}

// TestQUICCloseBeforeAccept closes a session that waits for Accept, at either
// end, and wants Accept to return it with its error.
func TestQUICCloseBeforeAccept(t *testing.T) {
	inBubble(t, session.QUICConfig{}, func(r *rig) {
		n := sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: time.Millisecond})
		near, far := r.attach(client, n.Carrier(client)), r.attach(server, n.Carrier(server))
		n.Connect(client, near)
		n.Connect(server, far)
		c, err := near.Dial(r.Context())
		fatal(r, err)
		time.Sleep(time.Second)
		c.Close(8, "never mind")
		s, err := far.Accept(r.Context())
		fatal(r, err)
		<-s.Done()
		if want := (session.CloseError{Code: 8, Reason: "never mind", Remote: true}); *s.Err().(*session.CloseError) != want {
			r.Errorf("session ended with %v", s.Err())
		}
	})
}

// TestPlainQUIC runs what depends on it over a packet connection without runs.
func TestPlainQUIC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sessiontest.NewNetwork(t, sessiontest.Conditions{Delay: time.Millisecond, Loss: 0.01})
		c, s := sessiontest.Pair(t, n, func(t testing.TB, id session.Identity) session.Engine {
			e, err := session.NewPlainQUIC(session.QUICConfig{Identity: id})
			fatal(t, err)
			return e
		})
		go echo(s)
		ask(t, c, bytes.Repeat([]byte("plain"), 100_000))
		c.Close(0, "")
		<-s.Done()
	})
}

// Sessions that a peer has dialled share a budget of windows. Beyond it they work,
// and each gives back its part when it is over, as does what never becomes one.
func TestIncomingWindows(t *testing.T) {
	const budget = 1 << 20
	inBubble(t, session.QUICConfig{IncomingWindows: budget, HandshakeTimeout: time.Second}, func(r *rig) {
		data := make([]byte, 300<<10)
		rand.Read(data)
		var sessions []session.Session
		for range 12 {
			c, s := r.connect(sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: 5 * time.Millisecond}))
			sessions = append(sessions, c)
			go echo(s)
			ask(r, c, data)
		}
		if left := session.WindowsLeft(r.engines[server]); left != budget-12*(128<<10) {
			t.Errorf("%d are left", left)
		}
		if left := session.WindowsLeft(r.engines[client]); left != budget {
			t.Errorf("those that it dials take %d of the dialler's", budget-left)
		}
		for _, c := range sessions {
			c.Close(0, "")
		}
		// A handshake that comes to nothing.
		n := sessiontest.NewNetwork(r, sessiontest.Conditions{Delay: 5 * time.Millisecond})
		near, far := r.attach(client, n.Carrier(client)), r.attach(server, discard{})
		n.Connect(client, near)
		n.Connect(server, far)
		if _, err := near.Dial(r.Context()); err == nil {
			t.Error("dialled one who does not answer")
		}
		time.Sleep(10 * time.Second)
		if left := session.WindowsLeft(r.engines[server]); left != budget {
			t.Errorf("%d are left of %d when all is over", left, budget)
		}
	})
}

// discard is a carrier that carries nothing.
type discard struct{}

func (discard) WritePackets([]byte, int, uint8) {}
