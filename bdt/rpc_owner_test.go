package bdt_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/netsim"
)

// Calls, HTTP and datagrams take the id of an owner, and find the device that
// answers for it.
func TestOwnerIsAsked(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		z := newZone(t, 1000*time.Hour)
		home := z.member("home")
		z.people = z.answering(home.Device.ID())
		ood := w.open("home", w.behind("home", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.1"), inZone(z, home))
		stranger := w.open("stranger", w.behind("stranger", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.2"))
		defer closeAll(t, ood, stranger)
		var c counted
		c.serve(t, ood, "shout")
		l := listenDatagrams(t, ood, "game")
		server := ood.HTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) }))
		go server.Serve(listen(t, ood, bdt.HTTPService))
		time.Sleep(time.Second)

		id := z.people.ID()
		if answer, _, err := call(t, stranger, id, "shout", "hello"); err != nil || answer != "HELLO" {
			t.Errorf("call: %q, %v", answer, err)
		}
		resp, err := (&http.Client{Transport: stranger.HTTPTransport()}).Get("bdt://" + id.String() + "/")
		if err != nil {
			t.Fatal(err)
		}
		host, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(host) != id.String() {
			t.Errorf("http: %q, %v", host, err)
		}
		d, err := stranger.DialDatagrams(context.Background(), id, "game")
		if err != nil {
			t.Fatal(err)
		}
		d.Send([]byte("hello"))
		a, err := l.Accept(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		wantDatagram(t, a, "hello")
		if d.Peer().ID() != ood.ID() {
			t.Errorf("%s answers", d.Peer().ID().Short())
		}
	})
}
