package bdt_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// serveAll answers calls, flows and HTTP until the stack is closed; done waits for that.
func serveAll(t *testing.T, s *bdt.Stack) (done func()) {
	t.Helper()
	s.ServeEcho()
	_, err := s.HandleCalls("s", bdt.CallConfig{Access: bdt.Everyone, ReplaySafe: true, Handler: func(ctx context.Context, q *bdt.Question) ([]byte, error) {
		select {
		case <-time.After(time.Duration(len(q.Data)) * time.Millisecond):
		case <-ctx.Done():
		}
		return q.Data, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	flows, streams := listenDatagrams(t, s, "s"), listen(t, s, bdt.HTTPService)
	serving.Go(func() {
		for {
			c, err := flows.Accept(context.Background())
			if err != nil {
				return
			}
			serving.Go(func() {
				for {
					b, err := c.Receive(context.Background())
					if err != nil {
						return
					}
					c.Send(b)
				}
			})
		}
	})
	server := s.HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	serving.Go(func() { server.Serve(streams) })
	return serving.Wait
}

// Close comes at every moment of calls, flows, HTTP requests and what is asked of SNs, at
// either end and at both. Whatever waits returns, and nothing is left.
func TestCloseDuringCalls(t *testing.T) {
	for i := range 90 {
		inVirtualTime(t, 15*time.Millisecond, func(t *testing.T, w *world) {
			z := newZone(t, 1000*time.Hour)
			home := z.member("bob")
			z.people = z.answering(home.Device.ID())
			alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.1"))
			bob := w.open("bob", w.behind("bob", netsim.PortRestricted, 10*time.Millisecond, "198.51.100.2"), inZone(z, home))
			served := serveAll(t, bob)
			if i&1 != 0 {
				introduce(t, alice, bob)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup // of what fails or not, and is to return
			for _, n := range []int{15, 100, 1000} {
				wg.Go(func() { alice.Call(ctx, bob.ID(), "s", make([]byte, n)) })
				wg.Go(func() { alice.Call(ctx, z.people.ID(), "s", make([]byte, n)) })
				wg.Go(func() {
					client := http.Client{Transport: alice.HTTPTransport()}
					if resp, err := client.Get("bdt://" + bob.ID().String() + "/"); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				})
			}
			wg.Go(func() {
				c, err := alice.DialDatagrams(ctx, bob.ID(), "s")
				for err == nil {
					receive(c)
					err = c.Send(make([]byte, 100))
				}
			})
			wg.Go(func() { alice.FindOwner(ctx, z.people.ID()) })
			wg.Go(func() { alice.PublishOwner(ctx, z.people) })
			wg.Go(func() { alice.NetCheck(ctx) })
			wg.Go(func() { bob.SetOwner(z.change(z.people, func(b *identity.PeopleBody) { b.Name = "new" })) })
			moment := time.Duration(i) * 4 * time.Millisecond
			if i%3 != 0 {
				wg.Go(func() { time.Sleep(moment); alice.Close() })
			}
			if i%3 != 1 {
				wg.Go(func() { time.Sleep(moment); bob.Close() })
			}
			if i%3 == 0 {
				wg.Go(func() { time.Sleep(20 * time.Second); alice.Close() })
			}
			start := time.Now()
			wg.Wait()
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("all returned after %v", took)
			}
			closeAll(t, alice, bob)
			served()
		})
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
}
