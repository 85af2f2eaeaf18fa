package netsim

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestConnConformance runs the suite for implementations of net.Conn. It starts
// subtests, which a bubble does not allow: this network is in real time. It has no
// delay, so that the suite's own waits of 100 ms are all that takes time.
func TestConnConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second of real time")
	}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		n := New(Config{Seed: 1})
		l := drawLine(n, LinkConfig{})
		a, b := l.pipe(t)
		return a, b, func() {
			a.Close()
			b.Close()
			n.Close()
		}, nil
	})
}
