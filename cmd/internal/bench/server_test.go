package bench

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/bdtnet/bdt/identity"
)

// start has a server answer one stream.
func start(limit *rate.Limiter) (client *duplex, done chan struct{}) {
	client, server := newDuplex(0)
	done = make(chan struct{})
	go func() {
		answer(context.Background(), server, limit)
		close(done)
	}()
	return client, done
}

func TestRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"version":         {2, byte(opSink), 0, 0, 0, 0},
		"operation":       {version, 0, 0, 0, 0, 0},
		"next operation":  {version, 4, 0, 0, 0, 0},
		"sink argument":   header{opSink, 1}.Append(nil),
		"source argument": header{opSource, 60_001}.Append(nil),
		"answer argument": header{opAnswer, 65_537}.Append(nil),
	} {
		t.Run(name, func(t *testing.T) {
			client, done := start(nil)
			client.Write(b)
			<-done
			if !client.reset.Load() {
				t.Error("the stream is not reset")
			}
			client.Close()
		})
	}
	t.Run("largest answer", func(t *testing.T) {
		client, done := start(nil)
		question := bytes.Repeat([]byte{7}, maxQuestion)
		go client.Write(append(header{opAnswer, maxQuestion}.Append(nil), question...))
		answer := make([]byte, maxQuestion)
		if _, err := io.ReadFull(client, answer); err != nil || !bytes.Equal(answer, question) {
			t.Errorf("answer: %v", err)
		}
		<-done
		if client.reset.Load() {
			t.Error("the stream is reset")
		}
		client.Close()
	})
}

// A client that stands still does not keep a stream.
func TestIdle(t *testing.T) {
	for name, b := range map[string][]byte{
		"no header":       {version},
		"sink":            header{op: opSink}.Append(nil),
		"half a question": append(header{opAnswer, 2}.Append(nil), 1),
		"source unread":   header{opSource, 60_000}.Append(nil),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, done := start(nil)
				began := time.Now()
				client.Write(b)
				if name == "half a question" {
					io.ReadFull(client, make([]byte, 1))
				}
				<-done
				if took := time.Since(began); took != idleTimeout || !client.reset.Load() {
					t.Errorf("ended after %v, reset %v", took, client.reset.Load())
				}
				client.Close()
			})
		})
	}
}

func TestSinkTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, done := start(nil)
		began := time.Now()
		client.Write(header{op: opSink}.Append(nil))
		for {
			time.Sleep(time.Second)
			if _, err := client.Write([]byte{1}); err != nil {
				break
			}
		}
		<-done
		if took := time.Since(began); took < MaxDuration || took > MaxDuration+2*idleTimeout {
			t.Errorf("ended after %v", took)
		}
		client.Close()
	})
}

// A cancelled server resets what it was answering.
func TestStopped(t *testing.T) {
	client, server := newDuplex(0)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		answer(ctx, server, nil)
		close(done)
	}()
	client.Write(header{op: opSink}.Append(nil))
	cancel()
	<-done
	if !client.reset.Load() {
		t.Error("the stream is not reset")
	}
	client.Close()
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Server
		a, b, c := identity.ID{1}, identity.ID{2}, identity.ID{3}
		first := s.limit(a)
		if s.limit(a) != first {
			t.Error("a second stream has a limit of its own")
		}
		first.AllowN(time.Now(), strangerBurst)
		if s.limit(b) == first {
			t.Error("two strangers share a limit")
		}
		s.limit(c)
		if len(s.limits) != 2 || s.limits[a] != first {
			t.Errorf("%d limits held, want that in use and the newest", len(s.limits))
		}
		time.Sleep(time.Second)
		s.limit(b)
		if len(s.limits) != 1 {
			t.Errorf("%d limits held, want the newest", len(s.limits))
		}
	})
}
