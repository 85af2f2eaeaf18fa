package netsim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bdtnet/bdt/underlay"
)

// anyLink returns a configuration with some of all that there is.
func anyLink(r *rand.Rand) LinkConfig {
	some := func(p float64) float64 {
		if r.IntN(2) == 0 {
			return 0
		}
		return p * r.Float64()
	}
	c := LinkConfig{
		Delay: time.Duration(some(3e6)), Jitter: time.Duration(some(3e6)), Loss: some(0.3),
		Reorder: some(0.5), ReorderBy: time.Duration(some(5e6)), Duplicate: some(0.5),
		Corrupt: some(0.3), CorruptUndetected: some(1),
		Rate: int64(some(5e6)), Queue: int(some(20000)), QueuePackets: int(some(20)), CoDel: r.IntN(2) == 0,
		MTU: 200 + r.IntN(1300), NoICMP: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		c.Burst = &GilbertElliott{P: r.Float64(), R: r.Float64(), LossGood: some(0.2), LossBad: r.Float64()}
	}
	return c
}

// TestNoPacketIsLostTrackOf: whatever a link is like, and while it is cut, mended and set
// anew, each packet ends in one way, each copy of one too, and nothing is left on the
// link. What is left over is counted wrong, and would fill the link in time.
func TestNoPacketIsLostTrackOf(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	for seed := range uint64(rounds) {
		simulate(t, func(t *testing.T, n *Network) {
			n.cfg.Seed = seed
			r := rand.New(rand.NewPCG(seed, 0))
			// On the machines of both ends the MTU is not in the way.
			a, z, left, right := n.Host("a"), n.Host("z"), n.Router("left"), n.Router("right")
			Must(n.Connect(z, right, LinkConfig{}, "203.0.113.1"))
			Must(n.Connect(left, right, LinkConfig{}))
			Must(n.Connect(a, left, LinkConfig{}, "198.51.100.1"))
			l := left.uplinks[0]
			tx, rx := Must(a.ListenUDP(addr("0.0.0.0:5"))), listen(t, z, "203.0.113.1:7")
			sent := uint64(0)
			for range 60 {
				switch r.IntN(12) {
				case 0:
					l.SetDown(r.IntN(2) == 0)
				case 1, 2:
					c := anyLink(r)
					if r.IntN(2) == 0 {
						down := anyLink(r)
						c.Down = &down
					}
					if err := l.Set(c); err != nil {
						t.Fatal(err)
					}
				case 3:
					right.Reboot(time.Duration(r.Int64N(3e6)))
				default:
					for range r.IntN(15) {
						sent++
						d := underlay.Datagram{Addr: addr("203.0.113.1:7"), Data: make([]byte, r.IntN(1472)), ECN: uint8(r.IntN(3))}
						if r.IntN(4) == 0 {
							d.Addr = addr("203.0.113.1:8") // nobody
						}
						if _, err := tx.WriteBatch([]underlay.Datagram{d}); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(time.Duration(r.Int64N(5e6)))
				}
			}
			time.Sleep(time.Hour) // slow rates take their time
			rx.drain()
			up, _ := l.Stats()
			at := z.Stats().Packets
			ended := up.Packets[DropDown] + up.Packets[DropMTU] + up.Packets[DropLoss] + up.Packets[DropQueue] + up.Packets[DropCoDel] +
				right.Stats().Packets[DropDown] + at[Delivered] + at[DropClosed] + at[DropChecksum]
			if ended != sent+up.Packets[Duplicated] {
				t.Errorf("seed %d: %d packets and %d copies, but %d ends: %v, %v", seed, sent, up.Packets[Duplicated], ended, up.Packets, at)
			}
			for _, pi := range []*pipe{l.up, l.down} {
				if pi.inFlight != 0 || pi.tx.busy || pi.tx.packets != 0 || pi.tx.bytes != 0 || pi.tx.head != nil || pi.train.first != nil {
					t.Errorf("seed %d: left on %v: %+v", seed, l, pi)
				}
			}
			if len(n.queue) != 0 {
				t.Errorf("seed %d: %d packets are still to move", seed, len(n.queue))
			}
		})
	}
}
