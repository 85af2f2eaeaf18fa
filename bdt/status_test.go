package bdt_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
)

// What a stack tells of itself and its peers while it talks, and after.
func TestStatus(t *testing.T) {
	inVirtualTime(t, 10*time.Millisecond, func(t *testing.T, w *world) {
		alice := w.open("alice", w.behind("alice", netsim.PortRestricted, 5*time.Millisecond, "198.51.100.1"))
		bob := w.open("bob", w.public("bob", 5*time.Millisecond, bobHost))
		defer closeAll(t, alice, bob)
		bob.ServeEcho()

		if _, ok := alice.Peer(bob.ID()); ok || len(alice.Peers()) != 0 {
			t.Error("knows a peer that nobody has named")
		}
		if e, ok := alice.Explain(bob.ID()); ok || len(e.Lines) != 0 {
			t.Error("explains a peer that nobody has named")
		}
		ask(t, alice, bob.ID())
		time.Sleep(5 * time.Second)

		p, ok := alice.Peer(bob.ID())
		if list := alice.Peers(); !ok || len(list) != 1 || list[0].ID != p.ID {
			t.Errorf("peers are %+v", list)
		}
		const rtt = 20 * time.Millisecond
		switch {
		case p.ID != bob.ID(), p.Name != "bob", p.State != "connected", p.Engine != "quic":
			t.Errorf("%+v", p)
		case p.Path.Kind != "direct", p.Path.State != "valid", !p.Path.Current, p.Path.Standby:
			t.Errorf("path %+v", p.Path)
		case p.Path.Remote != addrOf(bob, bobHost), p.Path.Observed.Addr() != netip.MustParseAddr("198.51.100.1"):
			t.Errorf("path %+v", p.Path)
		case p.Path.RTT < rtt || p.Path.RTT > rtt+time.Millisecond, p.SessionRTT < rtt:
			t.Errorf("round trips %v and %v, of %v", p.Path.RTT, p.SessionRTT, rtt)
		case p.BytesSent == 0, p.BytesRecv == 0:
			t.Errorf("%d bytes sent, %d received", p.BytesSent, p.BytesRecv)
		}

		e, ok := alice.Explain(bob.ID())
		if !ok || len(e.Paths) == 0 || !e.Paths[0].Current {
			t.Errorf("paths %+v", e.Paths)
		}
		if !slices.IsSortedFunc(e.Lines, func(a, b bdt.Event) int { return a.Time.Compare(b.Time) }) {
			t.Error("the record is out of order")
		}

		bob.Close()
		time.Sleep(time.Second)
		if p, ok := alice.Peer(bob.ID()); !ok || p.State != "idle" || p.Engine != "" {
			t.Errorf("after the session: %+v", p)
		}
		time.Sleep(10 * time.Minute)
		if _, ok := alice.Peer(bob.ID()); ok {
			t.Error("an idle peer is kept")
		}
	})
}

// A ticket is checked, and whoever names many devices does not fill the memory.
func TestLearn(t *testing.T) {
	inVirtualTime(t, time.Millisecond, func(t *testing.T, w *world) {
		s := w.open("alice", w.public("alice", time.Millisecond, aliceHost), noSN)
		defer closeAll(t, s)
		d, other := newDevice(t, "d").Device, newDevice(t, "other").Device
		for name, ticket := range map[string]identity.Ticket{
			"empty":             {},
			"another's device":  {ID: d.ID(), Device: other},
			"content, no peer":  {ID: identity.ChunkID([]byte("x"))},
			"a bad service":     {ID: d.ID(), Service: "a b"},
			"an empty endpoint": {ID: d.ID(), Endpoints: make([]netip.AddrPort, 1)},
		} {
			err := s.Learn(ticket)
			if err == nil {
				t.Errorf("%s: learned", name)
				continue
			}
			wantOp(t, err, "learn", nil)
		}
		// Content leads to whom to fetch it from.
		if err := s.Learn(identity.Ticket{ID: identity.ChunkID([]byte("x")), From: d.ID()}); err != nil {
			t.Errorf("a ticket for content: %v", err)
		}
		if own := s.Ticket(); own.ID != s.ID() || own.Check() != nil {
			t.Errorf("own ticket %v", own)
		}
	})
}

func TestErrorTexts(t *testing.T) {
	id := newDevice(t, "d").Device.ID()
	for _, tt := range []struct {
		err  error
		says string
	}{
		{&bdt.OpError{Op: "dial", Peer: id, Err: bdt.ErrNotFound}, "bdt: dial " + id.Short() + ": no super node"},
		{&bdt.OpError{Op: "open", Err: bdt.ErrOffline}, "bdt: open: no super node is reachable"},
		{&bdt.ResetError{Code: 7}, "was reset with code 7"},
		{&bdt.ResetError{Code: 7, Remote: true}, "the peer reset the stream with code 7"},
	} {
		if !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%q does not say %q", tt.err, tt.says)
		}
	}
	if s := fmt.Sprint(bdt.Addr{ID: id, Service: "echo"}); s != id.String()+"/echo" {
		t.Errorf("address %q", s)
	}
}
