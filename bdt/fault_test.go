package bdt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// tamper does what it likes to one packet in five: replays an old one,
// duplicates, delays, truncates, flips bits, forges.
func tamper(seed uint64) func(netsim.Packet, func(netsim.Packet, time.Duration)) {
	rng := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	var old []netsim.Packet
	return func(p netsim.Packet, emit func(netsim.Packet, time.Duration)) {
		mu.Lock()
		defer mu.Unlock()
		p.Data = slices.Clone(p.Data)
		if len(old) < 64 {
			old = append(old, p)
		} else if rng.IntN(8) == 0 {
			old[rng.IntN(len(old))] = p
		}
		if rng.IntN(5) != 0 {
			emit(p, 0)
			return
		}
		switch rng.IntN(5) {
		case 0: // replayed, to where it went or from where this one comes
			r := old[rng.IntN(len(old))]
			r.Data = slices.Clone(r.Data)
			emit(p, 0)
			emit(r, 0)
		case 1: // duplicated
			emit(p, 0)
			d := p
			d.Data = slices.Clone(p.Data)
			emit(d, time.Millisecond)
		case 2: // reordered
			emit(p, time.Duration(1+rng.IntN(30))*time.Millisecond)
		case 3: // truncated
			p.Data = p.Data[:rng.IntN(len(p.Data))]
			emit(p, 0)
		case 4: // forged
			for range 1 + rng.IntN(8) {
				p.Data[rng.IntN(len(p.Data))] ^= byte(1 + rng.IntN(255))
			}
			emit(p, 0)
		}
	}
}

// A device whose packets are replayed, reordered, duplicated, truncated or
// forged, one in five, keeps its session and delivers every byte once, in order.
func TestTamperedPackets(t *testing.T) {
	for seed := range uint64(8) {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			host, nat := w.net.Host("alice"), w.net.NAT("alice-nat", netsim.PortRestricted)
			link := netsim.Must(w.net.Connect(nat, w.core, netsim.LinkConfig{Delay: 10 * time.Millisecond}, "198.51.100.1"))
			netsim.Must(w.net.Connect(host, nat, netsim.LinkConfig{}, "198.18.1.2/24"))
			link.SetTamper(tamper(seed))
			alice := w.open("alice", host)
			defer alice.Close()
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
			defer bob.Close()
			const size = 1 << 20
			sum := serveSum(t, bob, size)

			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			c, err := alice.Dial(ctx, bob.ID(), "sum")
			if err != nil {
				explain(t, alice, bob.ID())
				t.Fatalf("seed %d: %v", seed, err)
			}
			send(t, c, seed, size, sum)
			if n := sessionsOpened(alice); n != 1 {
				explain(t, alice, bob.ID())
				t.Errorf("seed %d: %d sessions", seed, n)
			}
		})
	}
}

// serveSum serves "sum", which reads size bytes and answers with their SHA-256.
func serveSum(t *testing.T, s *bdt.Stack, size int64) func(seed uint64) []byte {
	t.Helper()
	l, err := s.Listen("sum", bdt.Everyone)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				h := sha256.New()
				if n, err := io.Copy(h, c); err == nil && n == size {
					c.Write(h.Sum(nil))
				}
			}()
		}
	}()
	return func(seed uint64) []byte {
		h := sha256.New()
		io.Copy(h, io.LimitReader(pattern(seed), size))
		return h.Sum(nil)
	}
}

// pattern is an endless stream that no shifted or repeated part of it equals.
func pattern(seed uint64) io.Reader {
	var key [32]byte
	key[0] = byte(seed)
	return rand.NewChaCha8(key)
}

// send writes size bytes of a pattern and checks the sum that comes back.
func send(t *testing.T, c *bdt.Conn, seed uint64, size int64, sum func(uint64) []byte) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Minute))
	if _, err := io.Copy(c, io.LimitReader(pattern(seed), size)); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	if !bytes.Equal(got, sum(seed)) {
		t.Errorf("seed %d: the other end read something else", seed)
	}
}

var _ hash.Hash = sha256.New()

// A restarted peer is talked to again within 2 s, wherever it comes back.
func TestPeerRestarts(t *testing.T) {
	for _, samePort := range []bool{true, false} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			defer alice.Close()
			host := w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2")
			device := newDevice(t, "bob")
			cut := w.cutter("bob")
			same := func(c *bdt.Config) {
				c.Device = device
				if samePort {
					c.Listen = fixedPort
				}
			}
			bob := w.open("bob", host, same)
			bob.ServeEcho()
			ask(t, alice, bob.ID())

			// A crash: not a word to anybody.
			cut(true)
			bob.Close()
			time.Sleep(time.Second)
			cut(false)

			bob = w.open("bob", host, same)
			defer bob.Close()
			bob.ServeEcho()
			took := redial(t, alice, bob.ID())
			t.Logf("same port %v: answered %v after the restart", samePort, took)
			if took > 2*time.Second {
				explain(t, alice, bob.ID())
				explain(t, bob, alice.ID())
				t.Errorf("talked to again after %v", took)
			}
		})
	}
}

// redial asks until an answer comes, as applications do, and returns how long
// that took.
func redial(t *testing.T, s *bdt.Stack, id idT) time.Duration {
	t.Helper()
	start := time.Now()
	for time.Since(start) < time.Minute {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		_, err := s.Ping(ctx, id)
		cancel()
		if err == nil {
			return time.Since(start)
		}
		if !errors.Is(err, bdt.ErrPeerRestarted) && !errors.Is(err, bdt.ErrPeerClosed) {
			t.Logf("while dialling again: %v", err)
		}
	}
	t.Fatal("not talked to again within a minute")
	return 0
}

// When the path in use is cut, the session goes on over the other.
func TestFailover(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.dualStack("alice", "198.51.100.1", "2001:db8:a::2"))
		defer alice.Close()
		bob := w.open("bob", w.dualStack("bob", "198.51.100.2", "2001:db8:b::2"))
		defer bob.Close()
		bob.ServeEcho()
		ask(t, alice, bob.ID())
		time.Sleep(5 * time.Second)

		ctx := context.Background()
		c, err := alice.Dial(ctx, bob.ID(), bdt.EchoService)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		exchange := func() time.Duration {
			start := time.Now()
			c.SetDeadline(start.Add(time.Minute))
			var b [1]byte
			if _, err := c.Write(b[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, b[:]); err != nil {
				explain(t, alice, bob.ID())
				t.Fatal(err)
			}
			return time.Since(start)
		}
		exchange()
		before, _ := alice.Peer(bob.ID())
		if before.Path.Remote.Addr().Is4() {
			w.links["alice4"].SetDown(true)
		} else {
			w.links["alice6"].SetDown(true)
		}
		took := exchange()
		after, _ := alice.Peer(bob.ID())
		t.Logf("cut %v, went on over %v after %v", before.Path.Remote, after.Path.Remote, took)
		if limit := time.Second; took > limit {
			explain(t, alice, bob.ID())
			t.Errorf("the next byte took %v, limit %v", took, limit)
		}
		if n := sessionsOpened(alice); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}
