package bdt_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// BenchmarkCall asks 100 bytes and is answered 250, in one process: over an open
// session, and with the handshake of two devices that have never met, one of which
// has the other's ticket. Beside the latter, the same question over the session that
// the handshake opens.
func BenchmarkCall(b *testing.B) {
	for _, way := range []string{"session", "early", "dial"} {
		b.Run(way, func(b *testing.B) {
			server := loopbackStack(b)
			defer server.Close()
			answer := func(context.Context, *bdt.Question) ([]byte, error) { return make([]byte, 250), nil }
			_, err := server.HandleCalls("s", bdt.CallConfig{Access: bdt.Everyone, ReplaySafe: way == "early", Handler: answer})
			must(b, err)
			client := loopbackStack(b)
			question := make([]byte, 100)
			ask := func() {
				_, err := client.Call(b.Context(), server.ID(), "s", question)
				must(b, err)
			}
			must(b, client.Learn(ticketOf(server)))
			if way == "session" {
				ask()
				time.Sleep(time.Second) // until the path has settled
			}
			for b.Loop() {
				ask()
				if way != "session" {
					b.StopTimer()
					client.Close()
					client = loopbackStack(b)
					must(b, client.Learn(ticketOf(server)))
					b.StartTimer()
				}
			}
			client.Close()
		})
	}
}

// BenchmarkHTTP gets 1,000 bytes over a stream that is kept.
func BenchmarkHTTP(b *testing.B) {
	server, client := loopbackStack(b), loopbackStack(b)
	defer server.Close()
	defer client.Close()
	l, err := server.Listen(bdt.HTTPService, bdt.Everyone)
	must(b, err)
	page := make([]byte, 1000)
	go server.HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(page) })).Serve(l)
	must(b, client.Learn(ticketOf(server)))
	web := &http.Client{Transport: client.HTTPTransport()}
	for b.Loop() {
		resp, err := web.Get("bdt://" + server.ID().String() + "/")
		must(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(b, err)
		resp.Body.Close()
	}
}

// loopbackStack opens a stack on this machine.
func loopbackStack(b *testing.B) *bdt.Stack {
	s, err := bdt.Open(bdt.Config{Listen: onLoopback})
	must(b, err)
	return s
}

// ticketOf is all that it takes to dial a stack on this machine.
func ticketOf(s *bdt.Stack) identity.Ticket {
	return identity.Ticket{ID: s.ID(), Device: s.Device(), Endpoints: s.LocalAddrs()}
}
