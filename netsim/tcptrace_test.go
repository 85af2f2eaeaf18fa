package netsim

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// traceTCP returns what happens to the packets of several connections that read and
// write at once.
func traceTCP(t *testing.T, seed uint64) (events []string) {
	synctest.Test(t, func(t *testing.T) {
		n := New(Config{Seed: seed})
		defer n.Close()
		n.Trace(func(e Event) { events = append(events, e.String()) })
		l := drawLine(n, LinkConfig{Delay: 3 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.02, Rate: 20e6})
		ln := Must(l.b.Listen("tcp", ":80"))
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { // answers in pieces
					defer c.Close()
					buf := make([]byte, 3000)
					for {
						k, err := c.Read(buf)
						if err != nil {
							return
						}
						c.Write(buf[:k/2])
						c.Write(buf[k/2 : k])
					}
				}()
			}
		}()
		done := make(chan struct{})
		for i := range 4 {
			go func() {
				defer func() { done <- struct{}{} }()
				// The port is chosen, not drawn in the order in which these goroutines run.
				c, err := l.a.DialFrom(context.Background(), "tcp", netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(1000+i)), "203.0.113.1:80")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for range 20 {
					if _, err := c.Write(noise(5000)); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(c, make([]byte, 5000)); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		for range 4 {
			<-done
		}
		ln.Close()
		time.Sleep(2 * timeWait)
	})
	return events
}

// TestTCPDeterminism: with one seed every segment has the same fate at the same instant in
// every run, though its goroutines do not run in one order; with another, not.
func TestTCPDeterminism(t *testing.T) {
	first := traceTCP(t, 1)
	for range 10 {
		if again := traceTCP(t, 1); !slices.Equal(first, again) {
			for i := range min(len(first), len(again)) {
				if first[i] != again[i] {
					t.Fatalf("event %d: %s, then %s", i, first[i], again[i])
				}
			}
			t.Fatalf("%d events, then %d", len(first), len(again))
		}
	}
	if slices.Equal(first, traceTCP(t, 2)) {
		t.Error("another seed gave the same")
	}
}
