package sessiontest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/bdtnet/bdt/internal/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A sink is a port that notes when what came. Only Deliver and PathChanged
// are called by networks.
type sink struct {
	start    time.Time
	packets  []string
	times    []time.Duration
	runs     int
	switches int
}

func (s *sink) Deliver(b []byte, segment int, _ uint8) {
	s.runs++
	for ; len(b) > 0; b = b[min(segment, len(b)):] {
		s.packets = append(s.packets, string(b[:min(segment, len(b))]))
		s.times = append(s.times, time.Since(s.start))
	}
}

func (s *sink) PathChanged()                                    { s.switches++ }
func (s *sink) Dial(context.Context) (session.Session, error)   { return nil, nil }
func (s *sink) Accept(context.Context) (session.Session, error) { return nil, nil }
func (s *sink) Close() error                                    { return nil }

// withNetwork runs f with a network in whose client end's packets s takes.
func withNetwork(t *testing.T, c Conditions, f func(n *Network, s *sink)) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork(t, c)
		s := &sink{start: time.Now()}
		n.Connect(Server, s)
		f(n, s)
	})
}

// pass lets d pass, and what happens by then be seen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// numbers returns a run of n one-byte packets, each its number modulo 251.
func numbers(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i % 251)
	}
	return b
}

func TestNetworkKeepsRuns(t *testing.T) {
	withNetwork(t, Conditions{Delay: time.Second}, func(n *Network, s *sink) {
		b := []byte("aabbc")
		n.Carrier(Client).WritePackets(b, 2, 0)
		clear(b)
		n.Carrier(Client).WritePackets([]byte("single"), 0, 0)
		pass(2 * time.Second)
		if s.runs != 2 || len(s.packets) != 4 || s.packets[0] != "aa" || s.packets[3] != "single" {
			t.Errorf("%d runs of %q arrived", s.runs, s.packets)
		}
		for _, d := range s.times {
			if d != time.Second {
				t.Errorf("a packet took %v", d)
			}
		}
		if n.Sent(Client) != 4 || n.Sent(Server) != 0 {
			t.Errorf("%d and %d packets were sent", n.Sent(Client), n.Sent(Server))
		}
		n.Carrier(Server).WritePackets([]byte("to nobody"), 0, 0)
		pass(2 * time.Second)
	})
}

func TestNetworkRate(t *testing.T) {
	withNetwork(t, Conditions{Delay: time.Second, Rate: 8000}, func(n *Network, s *sink) {
		n.Carrier(Client).WritePackets(numbers(200), 1, 0) // a millisecond each
		pass(2 * time.Second)
		// One leaves in each millisecond, until 50 wait and others are lost.
		if len(s.times) != 51 || s.times[0] != time.Second+time.Millisecond || s.times[50] != time.Second+51*time.Millisecond {
			t.Errorf("%d packets arrived, at %v", len(s.times), s.times)
		}
	})
}

func TestNetworkShares(t *testing.T) {
	const sent = 10000
	for _, tt := range []struct {
		name                         string
		c                            Conditions
		least, most                  int // packets that arrive
		leastDisorder, mostDisorders int // packets after one sent later
	}{
		{"loss", Conditions{Loss: 0.1, Seed: 1}, 8800, 9200, 0, 0},
		{"all", Conditions{Loss: 1}, 0, 0, 0, 0},
		{"duplicates", Conditions{Duplicate: 0.1, Seed: 2}, 10800, 11200, 0, 0},
		{"reordering", Conditions{Reorder: 0.1, Seed: 3, Delay: time.Second}, sent, sent, 500, 1500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var first []string
			for range 2 {
				withNetwork(t, tt.c, func(n *Network, s *sink) {
					for i := range sent {
						n.Carrier(Client).WritePackets([]byte{byte(i >> 8), byte(i)}, 0, 0)
						pass(time.Millisecond)
					}
					pass(time.Minute)
					if got := len(s.packets); got < tt.least || got > tt.most {
						t.Errorf("%d packets arrived", got)
					}
					disorder, highest := 0, ""
					for _, p := range s.packets {
						if p < highest {
							disorder++
						}
						highest = max(highest, p)
					}
					if disorder < tt.leastDisorder || disorder > tt.mostDisorders {
						t.Errorf("%d packets came late", disorder)
					}
					if first == nil {
						first = s.packets
					} else if len(first) != len(s.packets) {
						t.Error("the same seed gave another outcome")
					}
				})
			}
		})
	}
}

func TestNetworkSwitchPath(t *testing.T) {
	withNetwork(t, Conditions{Delay: time.Second}, func(n *Network, s *sink) {
		n.Carrier(Client).WritePackets([]byte("lost with the old path"), 0, 0)
		n.SwitchPath(Conditions{Delay: time.Minute})
		n.Carrier(Client).WritePackets([]byte("new"), 0, 0)
		pass(time.Hour)
		if len(s.packets) != 1 || s.packets[0] != "new" || s.times[0] != time.Minute || s.switches != 1 {
			t.Errorf("got %q at %v, %d switches", s.packets, s.times, s.switches)
		}
	})
}
