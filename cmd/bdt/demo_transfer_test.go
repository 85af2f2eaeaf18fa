package main

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// spoiled is a connection that passes everything through a function.
type spoiled struct {
	net.Conn
	spoil func(b []byte)
}

func (s spoiled) Write(b []byte) (int, error) {
	c := append([]byte(nil), b...)
	s.spoil(c)
	return s.Conn.Write(c)
}

// The demo must not pass if anything is wrong.
func TestTransfer(t *testing.T) {
	const size = 100_000
	written := 0
	for name, tc := range map[string]struct {
		sent, answered func(b []byte)
		want           string // of the error; empty: none
	}{
		"whole": {},
		"a bit of the bytes": {sent: func(b []byte) {
			if written += len(b); len(b) > 8 && written > size/2 {
				b[0] ^= 1
			}
		}, want: "SHA-256"},
		"count":   {answered: func(b []byte) { b[7]++ }, want: "sent 100000 bytes, 100001 arrived"},
		"SHA-256": {answered: func(b []byte) { b[39] ^= 0x80 }, want: "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			done := make(chan error)
			var r receiver
			var c, d net.Conn = near, far
			if tc.sent != nil {
				c = spoiled{near, tc.sent}
			}
			if tc.answered != nil {
				d = spoiled{far, tc.answered}
			}
			go func() { done <- r.receive(d) }()
			err := transmit(c, size)
			if e := <-done; e != nil {
				t.Error(e)
			}
			if got := r.received(); got != size {
				t.Errorf("received %d bytes", got)
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
	t.Run("cut short", func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			far.Read(make([]byte, 8))
			far.Close()
		}()
		if err := transmit(near, size); err == nil {
			t.Error("a transfer that ended early is taken as done")
		}
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r receiver
		arrive := func(after time.Duration) {
			time.Sleep(after)
			r.Write(make([]byte, 10))
		}
		arrive(time.Second) // before the first there is no gap
		arrive(300 * time.Millisecond)
		if got := r.stall(); got != 300*time.Millisecond {
			t.Errorf("stall %v", got)
		}
		r.mark()
		arrive(100 * time.Millisecond)
		arrive(200 * time.Millisecond)
		arrive(50 * time.Millisecond)
		if got := r.stall(); got != 200*time.Millisecond {
			t.Errorf("stall since the mark %v", got)
		}
	})
}
