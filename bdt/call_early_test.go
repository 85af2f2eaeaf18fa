package bdt_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// symmetricRandom are NATs through which no two devices punch.
var symmetricRandom = func() netsim.NATConfig {
	nat := netsim.Symmetric
	nat.Ports = netsim.RandomPort
	return nat
}()

// A counted is a service that counts how often it runs, early and in all.
type counted struct{ early, all atomic.Int32 }

// serve has a stack answer the calls of a service with the question in capitals.
func (c *counted) serve(t testing.TB, s *bdt.Stack, service string, change ...func(*bdt.CallConfig)) *bdt.CallService {
	t.Helper()
	cfg := bdt.CallConfig{
		Access:     bdt.Everyone,
		ReplaySafe: true,
		Handler: func(ctx context.Context, q *bdt.Question) ([]byte, error) {
			c.all.Add(1)
			if q.Early {
				c.early.Add(1)
			}
			return bytes.ToUpper(q.Data), nil
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	h, err := s.HandleCalls(service, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call asks and returns the answer and how long it took.
func call(t testing.TB, s *bdt.Stack, id idT, service, question string) (string, time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	start := time.Now()
	answer, err := s.Call(ctx, id, service, []byte(question))
	return string(answer), time.Since(start), err
}

// introduce tells a stack another's descriptor.
func introduce(t testing.TB, s, other *bdt.Stack) {
	t.Helper()
	if err := s.Learn(identity.Ticket{ID: other.ID(), Device: other.Device()}); err != nil {
		t.Fatal(err)
	}
}

// With R the round trip of each end to the SN, a question that goes with the
// handshake is answered within 2 R, whatever the NATs: by way of the SN it takes 2 R
// to the nanosecond, and a direct path may be sooner (docs/spec/call.md §3).
func TestCallEarlyWithin2R(t *testing.T) {
	const R = 2 * (10 + 15) * time.Millisecond
	for name, nats := range map[string]struct {
		alice, bob netsim.NATConfig
		exactly    bool // nothing passes but through the SN
	}{
		"full cone":                     {netsim.FullCone, netsim.FullCone, false},
		"restricted cone":               {netsim.RestrictedCone, netsim.RestrictedCone, false},
		"port restricted":               {netsim.PortRestricted, netsim.PortRestricted, false},
		"symmetric":                     {symmetricRandom, symmetricRandom, true},
		"symmetric and port restricted": {symmetricRandom, netsim.PortRestricted, true},
		"port restricted and symmetric": {netsim.PortRestricted, symmetricRandom, true},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				alice := w.open("alice", w.behind("alice", nats.alice, 10*time.Millisecond, "198.51.100.1"))
				bob := w.open("bob", w.behind("bob", nats.bob, 10*time.Millisecond, "198.51.100.2"))
				defer closeAll(t, alice, bob)
				var c counted
				c.serve(t, bob, "shout")
				introduce(t, alice, bob)
				settle(w)
				answer, took, err := call(t, alice, bob.ID(), "shout", "hello")
				if err != nil || answer != "HELLO" {
					explain(t, alice, bob.ID())
					t.Fatalf("answer %q, %v", answer, err)
				}
				t.Logf("answered after %v = 2 R + %v", took, took-2*R)
				if took > 2*R || nats.exactly && took != 2*R {
					explain(t, alice, bob.ID())
					t.Errorf("answered after %v, 2 R is %v", took, 2*R)
				}
				if c.early.Load() != 1 || c.all.Load() != 1 {
					t.Errorf("the service ran %d times, %d of them early", c.all.Load(), c.early.Load())
				}
				if nats.exactly {
					return
				}
				time.Sleep(2 * time.Second) // the same handshake opens a session
				if p, _ := alice.Peer(bob.ID()); p.State != "connected" {
					t.Errorf("a second later the peer is %s", p.State)
				}
				if _, took, err = call(t, alice, bob.ID(), "shout", "again"); err != nil || took != 40*time.Millisecond {
					t.Errorf("over the session: %v after %v, a round trip is 40 ms", err, took)
				}
			})
		})
	}
}

// Where no path ever comes up, calls are still answered, one after the other and
// many at once.
func TestCallsWithoutAPath(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", symmetricRandom, 10*time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", symmetricRandom, 10*time.Millisecond, "198.51.100.2"))
		defer closeAll(t, alice, bob)
		var c counted
		c.serve(t, bob, "shout")
		introduce(t, alice, bob)
		settle(w)
		for i := range 5 {
			answer, took, err := call(t, alice, bob.ID(), "shout", "x")
			if err != nil || answer != "X" || took > time.Second/2 {
				t.Errorf("call %d: %q, %v after %v", i, answer, err, took)
			}
		}
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				answer, took, err := call(t, alice, bob.ID(), "shout", "x")
				if err != nil || answer != "X" || took > 3*time.Second {
					t.Errorf("at once: %q, %v after %v", answer, err, took)
				}
			})
		}
		wg.Wait()
	})
}

// What cannot go, or not be answered, with the handshake is asked on the session
// that the handshake opens.
func TestCallFallsBack(t *testing.T) {
	late := func(c *bdt.CallConfig) {
		answer := c.Handler
		c.Handler = func(ctx context.Context, q *bdt.Question) ([]byte, error) {
			if q.Early {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer(ctx, q)
		}
	}
	stubborn := func(c *bdt.CallConfig) {
		answer := c.Handler
		c.Handler = func(ctx context.Context, q *bdt.Question) ([]byte, error) {
			time.Sleep(time.Second)
			return answer(ctx, q)
		}
	}
	verbose := func(c *bdt.CallConfig) {
		c.Handler = func(_ context.Context, q *bdt.Question) ([]byte, error) {
			return bytes.Repeat(bytes.ToUpper(q.Data), 400), nil
		}
	}
	for name, tt := range map[string]struct {
		change   func(*bdt.CallConfig)
		unknown  bool // bob's descriptor is
		question string
		early    int32 // runs that are
		repeat   int   // of the answer
	}{
		"not replay safe":         {change: func(c *bdt.CallConfig) { c.ReplaySafe = false }},
		"descriptor not known":    {unknown: true},
		"long question":           {question: strings.Repeat("x", 184-len("shout"))},
		"answer too late":         {change: late},
		"handler that goes on":    {change: stubborn, early: 1},
		"answer that is too long": {change: verbose, repeat: 400},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
				bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
				defer closeAll(t, alice, bob)
				var c counted
				if tt.change == nil {
					tt.change = func(*bdt.CallConfig) {}
				}
				c.serve(t, bob, "shout", tt.change)
				if !tt.unknown {
					introduce(t, alice, bob)
				}
				settle(w)
				if tt.question == "" {
					tt.question = "q"
				}
				answer, took, err := call(t, alice, bob.ID(), "shout", tt.question)
				want := strings.Repeat(strings.ToUpper(tt.question), max(tt.repeat, 1))
				if err != nil || answer != want {
					explain(t, alice, bob.ID())
					t.Fatalf("%d bytes of answer, %v", len(answer), err)
				}
				t.Logf("after %v", took)
				if took > 250*time.Millisecond && name != "handler that goes on" {
					t.Errorf("answered after %v", took)
				}
				if got := c.early.Load(); got != tt.early {
					t.Errorf("ran early %d times, want %d", got, tt.early)
				}
			})
		})
	}
}

// The longest question that goes early, and the longest answer to it.
func TestCallEarlyLimits(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice, bob := pair(w)
		defer closeAll(t, alice, bob)
		var early atomic.Int32
		size := 302
		var c counted
		c.serve(t, bob, "s", func(c *bdt.CallConfig) {
			c.Handler = func(_ context.Context, q *bdt.Question) ([]byte, error) {
				if q.Early {
					early.Add(1)
				}
				return make([]byte, size), nil
			}
		})
		introduce(t, alice, bob)
		answer, took, err := call(t, alice, bob.ID(), "s", strings.Repeat("x", 182))
		if err != nil || len(answer) != size || early.Load() != 1 {
			t.Errorf("%d bytes, %v, early %d times", len(answer), err, early.Load())
		}
		t.Logf("after %v", took)
	})
}

// Both ends call each other at once: each question is answered, once, whichever
// end's handshake stands.
func TestCallGlare(t *testing.T) {
	for name, nat := range map[string]netsim.NATConfig{"port restricted": netsim.PortRestricted, "full cone": netsim.FullCone} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
				alice := w.open("alice", w.behind("alice", nat, 10*time.Millisecond, "198.51.100.1"))
				bob := w.open("bob", w.behind("bob", nat, 10*time.Millisecond, "198.51.100.2"))
				defer closeAll(t, alice, bob)
				var c counted
				for _, s := range []*bdt.Stack{alice, bob} {
					c.serve(t, s, "shout")
				}
				introduce(t, alice, bob)
				introduce(t, bob, alice)
				settle(w)
				var wg sync.WaitGroup
				for _, s := range [][2]*bdt.Stack{{alice, bob}, {bob, alice}} {
					wg.Go(func() {
						answer, took, err := call(t, s[0], s[1].ID(), "shout", "hello")
						t.Logf("%q, %v after %v", answer, err, took)
						if err != nil || answer != "HELLO" || took > time.Second/2 {
							explain(t, s[0], s[1].ID())
							t.Errorf("%q, %v after %v", answer, err, took)
						}
					})
				}
				wg.Wait()
				if n := c.all.Load(); n != 2 {
					t.Errorf("the services ran %d times", n)
				}
			})
		})
	}
}

// Loss of packets, either way and repeated, costs time and no answer.
func TestCallEarlyLoss(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"))
		defer closeAll(t, alice, bob)
		var c counted
		c.serve(t, bob, "shout")
		introduce(t, alice, bob)
		settle(w)
		w.links["alice"].SetDown(true)
		time.AfterFunc(1500*time.Millisecond, func() { w.links["alice"].SetDown(false) })
		answer, took, err := call(t, alice, bob.ID(), "shout", "hello")
		if err != nil || answer != "HELLO" || took > 5*time.Second {
			t.Errorf("%q, %v after %v", answer, err, took)
		}
		if n := c.all.Load(); n != 1 {
			t.Errorf("ran %d times", n)
		}
	})
}

// The callee restarts with another clock: the caller's stamp is behind what it
// remembers of a later one, and the question goes with the second initiation.
func TestCallEarlyStale(t *testing.T) {
	inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
		device := newDevice(t, "alice")
		host := w.behind("alice", netsim.FullCone, 10*time.Millisecond, "198.51.100.1")
		bob := w.open("bob", w.behind("bob", netsim.FullCone, 10*time.Millisecond, "198.51.100.2"))
		defer bob.Close()
		bob.RaiseMark(device.Device.ID(), time.Now().Add(time.Hour))
		alice := w.open("alice", host, func(c *bdt.Config) { c.Device = device })
		defer alice.Close()
		var c counted
		c.serve(t, bob, "shout")
		introduce(t, alice, bob)
		settle(w)
		answer, took, err := call(t, alice, bob.ID(), "shout", "hello")
		if err != nil || answer != "HELLO" || took > time.Second {
			explain(t, alice, bob.ID())
			t.Errorf("%q, %v after %v", answer, err, took)
		}
		// An hour ahead of bob's clock is too far for early data.
		if c.early.Load() != 0 || c.all.Load() != 1 {
			t.Errorf("ran %d times, early %d", c.all.Load(), c.early.Load())
		}
	})
}

// Who is denied cannot tell it from there being no such service: neither early nor
// on a stream, in words or in time.
func TestCallDenied(t *testing.T) {
	for _, known := range []bool{true, false} {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			var texts []string
			for i, service := range []string{"secret", "absent"} {
				alice := w.open("alice", w.behind("alice"+service, symmetricRandom, 10*time.Millisecond, freshAddr()))
				bob := w.open("bob", w.public("bob"+service, 10*time.Millisecond, freshAddr()))
				var c counted
				c.serve(t, bob, "secret", func(c *bdt.CallConfig) { c.Access = bdt.Nobody })
				if known {
					introduce(t, alice, bob)
				}
				settle(w)
				for range 2 {
					_, took, err := call(t, alice, bob.ID(), service, "question")
					if !errors.Is(err, bdt.ErrDenied) {
						t.Errorf("%s: %v", service, err)
					}
					var op *bdt.OpError
					if errors.As(err, &op) {
						texts = append(texts, op.Op+op.Err.Error()+took.String())
					}
				}
				if c.all.Load() != 0 {
					t.Error("ran for who is denied")
				}
				closeAll(t, alice, bob)
				if i == 1 && strings.Join(texts[:2], "") != strings.Join(texts[2:], "") {
					t.Errorf("known=%v: denied and absent differ: %q", known, texts)
				}
			}
		})
	}
}
