package netsim

import (
	"io"
	"math"
	"net/netip"
	"testing"
	"time"
)

const payloadShare = 1460. / 1500 // of a full segment over IPv4

// rateOf sends from c to d for a while, and returns the bits of payload a second that d
// reads after the first part of it.
func rateOf(t *testing.T, c, d *TCPConn, warmup, run time.Duration) float64 {
	t.Helper()
	end := time.Now().Add(warmup + run)
	c.SetWriteDeadline(end)
	d.SetReadDeadline(end)
	go io.Copy(c, endless{})
	b := make([]byte, 1<<16)
	start := time.Now().Add(warmup)
	total := 0
	for {
		k, err := d.Read(b)
		if err != nil {
			break
		}
		if time.Now().After(start) {
			total += k
		}
	}
	return float64(total) * 8 / run.Seconds()
}

type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// TestTCPRate: one connection fills a link of 100 Mbit/s and 20 ms, with a queue of a
// round trip (what Reno needs, as it halves its window) or more.
func TestTCPRate(t *testing.T) {
	if testing.Short() {
		t.Skip("moves some 100,000 packets")
	}
	const rate = 100e6
	for _, queue := range []int{rate / 8 * 0.020, rate / 8 * 0.100} {
		onLine(t, LinkConfig{Delay: 10 * time.Millisecond, Rate: rate, Queue: queue}, func(t *testing.T, l *line) {
			c, d := l.pipe(t)
			// The window is at its best when the queue is full, and fills the link when it
			// is empty; the headers' share is lost. 5 % are for what recovery costs.
			got := rateOf(t, c, d, time.Second, 2*time.Second)
			if most := rate * payloadShare; got > 1.001*most || got < 0.95*most {
				t.Errorf("queue %d: %.1f Mbit/s, want 95 to 100 %% of %.1f", queue, got/1e6, most/1e6)
			}
		})
	}
}

// padhye returns the bits a second of a Reno connection (Padhye et al., SIGCOMM 1998,
// equation 30), with one acknowledgement for b segments.
func padhye(p, b float64, rtt, rto time.Duration) float64 {
	fast := rtt.Seconds() * math.Sqrt(2*b*p/3)
	slow := rto.Seconds() * min(1, 3*math.Sqrt(3*b*p/8)) * p * (1 + 32*p*p)
	return 1460 * 8 / (fast + slow)
}

// TestTCPRateLoss: with random loss the rate is what additive increase and
// multiplicative decrease give. At best no loss needs the timer, and each segment is
// acknowledged: the equation without its second term. At worst all that follows a loss
// in its round is lost, too, and one acknowledgement is sent for two segments: the whole
// equation.
func TestTCPRateLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("moves some 100,000 packets")
	}
	const rtt, rto = 20 * time.Millisecond, 20*time.Millisecond + minRTO
	for _, loss := range []float64{0.001, 0.01, 0.03} {
		onLine(t, LinkConfig{Delay: rtt / 2, Rate: 1e9, Loss: loss}, func(t *testing.T, l *line) {
			c, d := l.pipe(t)
			got := rateOf(t, c, d, 5*time.Second, 30*time.Second)
			worst, best := padhye(loss, 2, rtt, rto), padhye(loss, 1, rtt, 0)
			t.Logf("loss %g: %.2f Mbit/s, by the equation %.2f to %.2f", loss, got/1e6, worst/1e6, best/1e6)
			if got < worst || got > best {
				t.Errorf("loss %g: %.2f Mbit/s, want %.2f to %.2f", loss, got/1e6, worst/1e6, best/1e6)
			}
		})
	}
}

// TestTCPFairness: connections of one round trip share a link alike.
func TestTCPFairness(t *testing.T) {
	if testing.Short() {
		t.Skip("moves some 100,000 packets")
	}
	const flows, rate = 4, 20e6
	simulate(t, func(t *testing.T, n *Network) {
		// A queue of a round trip, as in TestTCPRate.
		core, server := n.Router("core"), n.Host("server")
		Must(n.Connect(server, core, LinkConfig{Delay: 10 * time.Millisecond, Rate: rate, Queue: rate / 8 * 0.03}, "203.0.113.1"))
		ln := Must(server.Listen("tcp", ":80"))
		got := make(chan float64, flows)
		for i := range flows {
			h := n.Host("client")
			Must(n.Connect(h, core, LinkConfig{Delay: 5 * time.Millisecond}, netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}).String()))
			c, err := h.DialContext(t.Context(), "tcp", "203.0.113.1:80")
			if err != nil {
				t.Fatal(err)
			}
			d := Must(ln.Accept())
			go func() { got <- rateOf(t, c.(*TCPConn), d.(*TCPConn), 5*time.Second, 20*time.Second) }()
		}
		var sum, squares float64
		for range flows {
			r := <-got
			t.Logf("%.2f Mbit/s", r/1e6)
			sum, squares = sum+r, squares+r*r
		}
		// Jain's index: 1 if all have the same, 1/flows if one has all.
		if index := sum * sum / (flows * squares); index < 0.9 {
			t.Errorf("fairness %.3f, want 0.9 at least", index)
		}
		if most := rate * payloadShare; sum < 0.9*most || sum > 1.001*most {
			t.Errorf("%.1f Mbit/s in all, want 90 to 100 %% of %.1f", sum/1e6, most/1e6)
		}
	})
}

// BenchmarkTCP measures what a segment costs, with its share of acknowledgements, in real
// time on a link without delay: the cost is all computation, and the sleeps of a microsecond.
func BenchmarkTCP(b *testing.B) {
	n := New(Config{})
	defer n.Close()
	l := drawLine(n, LinkConfig{})
	ln := Must(l.b.Listen("tcp", ":80"))
	c := Must(l.a.DialContext(b.Context(), "tcp", "203.0.113.1:80"))
	d := Must(ln.Accept())
	go io.Copy(c, endless{})
	b.SetBytes(1460)
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := io.CopyN(io.Discard, d, int64(b.N)*1460); err != nil {
		b.Fatal(err)
	}
}
