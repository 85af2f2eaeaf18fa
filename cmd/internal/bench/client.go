package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// QuestionSize is the size of the questions of [Ask] and of their answers,
// in bytes.
const QuestionSize = 64

var errAnswer = errors.New("bench: the answer is not what was asked")

// A Direction is where bytes are moved.
type Direction bool

const (
	Up   Direction = false // from here to the server
	Down Direction = true  // from the server to here
)

// String returns "up" or "down".
func (d Direction) String() string {
	if d == Down {
		return "down"
	}
	return "up"
}

// A Dialer opens a stream to the service.
type Dialer[S stream] func(context.Context) (S, error)

// FirstByte returns how long it takes from the call of dial to the first byte
// of an answer. If dial has to connect first, that is part of it.
func FirstByte[S stream](ctx context.Context, dial Dialer[S]) (time.Duration, error) {
	start := time.Now()
	if err := ask(ctx, dial, make([]byte, 1)); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}

// ask asks one question on a stream of its own, and checks the answer.
func ask[S stream](ctx context.Context, dial Dialer[S], question []byte) error {
	c, err := dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Reset(codeRefused) })
	defer stop()
	h := header{opAnswer, uint32(len(question))}
	if _, err := c.Write(append(h.Append(nil), question...)); err != nil {
		return err
	}
	answer := make([]byte, len(question))
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, question) {
		return errAnswer
	}
	return nil
}

// Throughput is what [Move] measured.
type Throughput struct {
	Bytes   int64         // that arrived
	Elapsed time.Duration // from the first Dial to the last byte's acknowledgement
}

// BitsPerSecond returns the rate.
func (t Throughput) BitsPerSecond() float64 {
	if t.Elapsed <= 0 {
		return 0
	}
	return float64(t.Bytes) * 8 / t.Elapsed.Seconds()
}

// Move moves as many bytes as it can for a while (at most [MaxDuration]) over
// a number of streams. Meanwhile moved holds how many have left or arrived.
func Move[S stream](ctx context.Context, dial Dialer[S], dir Direction, streams int, d time.Duration, moved *atomic.Int64) (Throughput, error) {
	if d <= 0 || d > MaxDuration {
		return Throughput{}, fmt.Errorf("bench: moving bytes for %v, at most %v", d, MaxDuration)
	}
	// The first stream to fail ends the others.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	var total atomic.Int64
	var all sync.WaitGroup
	for range streams {
		all.Go(func() {
			n, err := move(ctx, dial, dir, d, moved)
			if err != nil {
				cancel(err)
			}
			total.Add(n)
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return Throughput{}, err
	}
	return Throughput{total.Load(), time.Since(start)}, nil
}

// move is Move on one stream.
func move[S stream](ctx context.Context, dial Dialer[S], dir Direction, d time.Duration, moved *atomic.Int64) (int64, error) {
	c, err := dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Reset(codeRefused) })
	defer stop()
	if dir == Down {
		return pull(c, d, moved)
	}
	return push(c, d, moved)
}

// push writes for a while, and returns how much the server says arrived.
func push(c stream, d time.Duration, moved *atomic.Int64) (int64, error) {
	if _, err := c.Write(header{op: opSink}.Append(nil)); err != nil {
		return 0, err
	}
	block := make([]byte, blockSize)
	rand.Read(block)
	written := int64(0)
	for end := time.Now().Add(d); time.Now().Before(end); {
		n, err := c.Write(block)
		if err != nil {
			return 0, err
		}
		written += int64(n)
		moved.Add(int64(n))
	}
	if err := c.CloseWrite(); err != nil {
		return 0, err
	}
	var count [8]byte
	if _, err := io.ReadFull(c, count[:]); err != nil {
		return 0, err
	}
	if n := int64(binary.BigEndian.Uint64(count[:])); n != written {
		return 0, fmt.Errorf("bench: wrote %d bytes, the server counted %d", written, n)
	}
	return written, nil
}

// pull has the server write for a while.
func pull(c stream, d time.Duration, moved *atomic.Int64) (int64, error) {
	if _, err := c.Write(header{opSource, uint32(d.Milliseconds())}.Append(nil)); err != nil {
		return 0, err
	}
	return io.CopyBuffer(counter{moved}, c, make([]byte, blockSize))
}

// A counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

// Write counts b.
func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// Requests is what [Ask] measured.
type Requests struct {
	AtOnce        int           // questions under way at a time
	Count         int           // questions answered
	Elapsed       time.Duration // from the first question to the last answer
	P50, P90, P99 time.Duration // from Dial to the answer's last byte
}

// PerSecond returns the rate.
func (r Requests) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Count) / r.Elapsed.Seconds()
}

// Ask asks questions of [QuestionSize] for a while, a number of them at once,
// each on a stream of its own.
func Ask[S stream](ctx context.Context, dial Dialer[S], atOnce int, d time.Duration) (Requests, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	end := start.Add(d)
	took := make([][]time.Duration, atOnce)
	var all sync.WaitGroup
	for i := range atOnce {
		all.Go(func() {
			question := make([]byte, QuestionSize)
			rand.Read(question)
			for at := time.Now(); at.Before(end); {
				if err := ask(ctx, dial, question); err != nil {
					cancel(err)
					return
				}
				now := time.Now()
				took[i] = append(took[i], now.Sub(at))
				at = now
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return Requests{}, err
	}
	r := Requests{AtOnce: atOnce, Elapsed: time.Since(start)}
	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	r.Count = len(sorted)
	r.P50, r.P90, r.P99 = percentile(sorted, 50), percentile(sorted, 90), percentile(sorted, 99)
	return r, nil
}

// percentile returns the smallest of the sorted values that p percent of them
// do not exceed (the nearest rank); 0 if there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[rank-1]
}
