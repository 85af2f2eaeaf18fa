package netcheck_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/netcheck"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/stun"
	"github.com/bdtnet/bdt/netsim"
)

// A liar is a STUN server that says of everybody, and of itself, what it likes.
type liar struct{ mapped, other netip.AddrPort }

func (*liar) HandleControl(*socket.Socket, []byte, netip.AddrPort) {}

func (l *liar) HandleSTUN(s *socket.Socket, b []byte, from netip.AddrPort) {
	if r, ok := stun.ParseRequest(b); ok {
		s.Send(from, r.AppendAnswer(nil, l.mapped, l.other, l.other))
	}
}

// A server that lies about addresses has a few small packets sent there, and
// none into networks that it is not in.
func TestLiar(t *testing.T) {
	victims := map[string]int{ // and how many packets they may get
		"203.0.113.99:53":     12,
		"192.168.1.1:53":      0,
		"127.0.0.1:53":        0,
		"224.0.0.1:53":        0,
		"255.255.255.255:53":  0,
		"169.254.1.1:53":      0,
		"0.0.0.0:53":          0,
		"[2001:db8::99]:53":   0, // of another family
		"[::ffff:10.0.0.1]:9": 0,
	}
	for text, limit := range victims {
		t.Run(text, func(t *testing.T) {
			inWorld(t, layout{}, func(t *testing.T, w *world) {
				host, client := w.net.Host("liar"), w.behind(netsim.PortRestricted, netsim.LinkConfig{})
				netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{}, "203.0.113.1"))
				victim := netip.MustParseAddrPort(text)
				s, err := socket.Open(socket.Config{Network: host, Local: netip.MustParseAddrPort("0.0.0.0:3478"), Handler: &liar{victim, victim}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				w.servers = [][]netip.AddrPort{{netip.MustParseAddrPort("203.0.113.1:3478")}}
				var hit atomic.Int64
				w.net.Trace(func(e netsim.Event) {
					if e.Fate == netsim.Sent && e.Node == "client" && e.Dst.Addr() == victim.Addr() {
						hit.Add(1)
					}
				})
				r := w.examine(t.Context(), client)
				time.Sleep(time.Second)
				if hit.Load() > int64(limit) {
					t.Errorf("%d packets to %v, want at most %d", hit.Load(), victim, limit)
				}
				if limit > 0 && hit.Load() == 0 {
					t.Error("the test sees no packets")
				}
				if r.IPv4.Filtering.Value == netcheck.EndpointIndependent || r.IPv4.Hairpin.Value == netcheck.Yes {
					t.Errorf("%+v", r.IPv4)
				}
			})
		})
	}
}
