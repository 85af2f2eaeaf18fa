package bench

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

func TestFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{pace: 10 * time.Millisecond}
		took, err := FirstByte(context.Background(), f.dial)
		if err != nil || took != 20*time.Millisecond {
			t.Errorf("%v, %v; want a question and an answer of 10 ms", took, err)
		}
		f.streams.Wait()
	})
}

func TestMove(t *testing.T) {
	for _, dir := range []Direction{Up, Down} {
		t.Run(dir.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeServer{pace: time.Millisecond}
				var moved atomic.Int64
				got, err := Move(context.Background(), f.dial, dir, 3, time.Second, &moved)
				if err != nil {
					t.Fatal(err)
				}
				f.streams.Wait()
				// A block a millisecond on each of 3 streams; the header and the
				// count take a write each.
				if want := int64(3 * 1000 * blockSize); got.Bytes != want || moved.Load() != want {
					t.Errorf("%d bytes, %d seen, want %d", got.Bytes, moved.Load(), want)
				}
				if got.Elapsed < time.Second || got.Elapsed > time.Second+3*time.Millisecond {
					t.Errorf("took %v", got.Elapsed)
				}
				if bps := got.BitsPerSecond(); bps < 1.55e9 || bps > 1.58e9 { // 3 × 65,536 × 8 × 1,000
					t.Errorf("%.0f bit/s", bps)
				}
			})
		})
	}
}

// All streams of a stranger share one limit.
func TestMoveLimited(t *testing.T) {
	for _, dir := range []Direction{Up, Down} {
		t.Run(dir.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeServer{limit: rate.NewLimiter(StrangerRate, strangerBurst)}
				got, err := Move(context.Background(), f.dial, dir, 4, 2*time.Second, new(atomic.Int64))
				if err != nil {
					t.Fatal(err)
				}
				f.streams.Wait()
				if bps := got.BitsPerSecond(); bps < 95e6 || bps > 102e6 {
					t.Errorf("%.0f bit/s, want 100 M", bps)
				}
			})
		})
	}
}

func TestMoveTooLong(t *testing.T) {
	f := new(fakeServer)
	for _, d := range []time.Duration{0, -1, MaxDuration + 1} {
		if _, err := Move(context.Background(), f.dial, Up, 1, d, new(atomic.Int64)); err == nil {
			t.Errorf("moving for %v is not refused", d)
		}
	}
	if n := f.dialled.Load(); n != 0 {
		t.Errorf("dialled %d times", n)
	}
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{pace: 5 * time.Millisecond}
		got, err := Ask(context.Background(), f.dial, 4, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		f.streams.Wait()
		// Each takes 5 ms there and 5 ms back.
		if got.AtOnce != 4 || got.Count != 400 || got.Elapsed != time.Second || got.PerSecond() != 400 {
			t.Errorf("%+v", got)
		}
		for _, p := range []time.Duration{got.P50, got.P90, got.P99} {
			if p != 10*time.Millisecond {
				t.Errorf("percentile %v, want 10 ms", p)
			}
		}
	})
}

// One stream's failure ends the measurement, with its cause.
func TestFailure(t *testing.T) {
	cause := errors.New("no way")
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{pace: time.Millisecond}
		dial := func(ctx context.Context) (*duplex, error) {
			if f.dialled.Load() == 2 {
				return nil, cause
			}
			return f.dial(ctx)
		}
		if _, err := Ask(context.Background(), dial, 4, time.Minute); !errors.Is(err, cause) {
			t.Errorf("Ask: %v", err)
		}
		f.streams.Wait()
		f.dialled.Store(0)
		start := time.Now()
		if _, err := Move(context.Background(), dial, Up, 4, time.Minute, new(atomic.Int64)); !errors.Is(err, cause) {
			t.Errorf("Move: %v", err)
		}
		f.streams.Wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("Move went on for %v", took)
		}
		if _, err := FirstByte(context.Background(), dial); !errors.Is(err, cause) {
			t.Errorf("FirstByte: %v", err)
		}
	})
}

func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeServer{pace: time.Millisecond}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := Move(ctx, f.dial, Down, 2, time.Minute, new(atomic.Int64)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Move: %v", err)
		}
		if _, err := Ask(ctx, f.dial, 2, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ask: %v", err)
		}
		f.streams.Wait()
	})
}

// A server that lies is found out.
func TestLies(t *testing.T) {
	serve := func(f func(server *duplex)) func(context.Context) (*duplex, error) {
		return func(context.Context) (*duplex, error) {
			client, server := newDuplex(time.Millisecond)
			go f(server)
			return client, nil
		}
	}
	synctest.Test(t, func(t *testing.T) {
		short := serve(func(s *duplex) {
			readHeader(s)
			discard(s)
			s.Write(make([]byte, 8)) // counted nothing
			s.Close()
		})
		if _, err := Move(context.Background(), short, Up, 1, time.Second, new(atomic.Int64)); err == nil {
			t.Error("a wrong count is believed")
		}
		wrong := serve(func(s *duplex) {
			readHeader(s)
			question := make([]byte, 1)
			s.Read(question)
			s.Write([]byte{question[0] + 1})
			s.Close()
		})
		if _, err := FirstByte(context.Background(), wrong); !errors.Is(err, errAnswer) {
			t.Errorf("a wrong answer: %v", err)
		}
	})
}

func discard(c net.Conn) {
	b := make([]byte, blockSize)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tc := range []struct {
		sorted []time.Duration
		p      int
		want   time.Duration
	}{
		{nil, 50, 0},
		{hundred[:1], 99, 1},
		{hundred[:2], 50, 1},
		{hundred[:3], 50, 2},
		{hundred, 50, 50},
		{hundred, 99, 99},
		{hundred, 100, 100},
	} {
		if got := percentile(tc.sorted, tc.p); got != tc.want {
			t.Errorf("percentile %d of %d = %d, want %d", tc.p, len(tc.sorted), got, tc.want)
		}
	}
}

func TestNoTime(t *testing.T) {
	if r := (Throughput{Bytes: 1}).BitsPerSecond(); r != 0 {
		t.Errorf("rate in no time: %v", r)
	}
	if r := (Requests{Count: 1}).PerSecond(); r != 0 {
		t.Errorf("rate in no time: %v", r)
	}
}
