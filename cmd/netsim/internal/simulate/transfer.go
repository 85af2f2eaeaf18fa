package simulate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// takers are the far ends of transfers, by the number that each transfer begins with. The service
// sink reads that number and the size (8 bytes each), then the bytes; it
// answers with how many it got (8 bytes) and their SHA-256.
type takers struct {
	mu   sync.Mutex
	last uint64
	by   map[uint64]*taker
}

func newTakers() *takers { return &takers{by: make(map[uint64]*taker)} }

// A taker is the far end of one transfer: it notes when bytes arrive.
type taker struct {
	hash hash.Hash

	mu   sync.Mutex
	n    int64
	last time.Time
	gap  time.Duration
}

// Write counts what has arrived.
func (t *taker) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last = now
	t.n += int64(len(b))
	return t.hash.Write(b)
}

// stall returns the longest time in which nothing arrived, until now.
func (t *taker) stall(over bool) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over || t.last.IsZero() {
		return t.gap
	}
	return max(t.gap, time.Since(t.last))
}

// begin makes the far end of a transfer, which end forgets.
func (t *takers) begin() (number uint64, to *taker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	to = &taker{hash: sha256.New()}
	t.by[t.last] = to
	return t.last, to
}

func (t *takers) end(number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.by, number)
}

// take is the service sink.
func (t *takers) take(c io.ReadWriter) error {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	t.mu.Lock()
	to := t.by[binary.BigEndian.Uint64(head[:])]
	t.mu.Unlock()
	if to == nil {
		return errors.New("no transfer of this scenario")
	}
	n, err := io.CopyN(to, c, int64(binary.BigEndian.Uint64(head[8:])))
	if err != nil {
		return err
	}
	_, err = c.Write(to.hash.Sum(binary.BigEndian.AppendUint64(nil, uint64(n))))
	return err
}

// transfer sends bytes, and has the other end verify that all came.
func (w *world) transfer(ctx context.Context, s *scenario.Step, o *scenario.Outcome) error {
	stack, id, done, err := w.meeting(s, o)
	if err != nil {
		return err
	}
	defer done()
	number, to := w.takers.begin()
	defer w.takers.end(number)
	start := time.Now()
	c, err := stack.Dial(ctx, id, scenario.Sink)
	if err != nil {
		return err
	}
	defer c.Close()
	defer closeWith(ctx, c)()
	sum, err := send(c, number, s.Size)
	if err == nil {
		err = confirm(c, s.Size, sum)
	}
	o.Stall = to.stall(err == nil)
	peer, _ := stack.Peer(id)
	o.Path = peer.Path.Kind
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", to.arrived(), s.Size, err)
	}
	took := time.Since(start)
	o.Detail = fmt.Sprintf("%.1f Mbit/s, longest stall %v", float64(s.Size)*8/1e6/max(took.Seconds(), 1e-9), brief(o.Stall))
	o.Path = awaitPath(ctx, stack, id, s.Expect.Paths)
	return nil
}

// arrived returns how many bytes have.
func (t *taker) arrived() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// send sends bytes that nothing compresses, and returns their SHA-256.
func send(c io.Writer, number uint64, size int64) ([]byte, error) {
	head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, number), uint64(size))
	if _, err := c.Write(head); err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err := io.CopyN(io.MultiWriter(c, sum), rand.NewChaCha8([32]byte{}), size)
	return sum.Sum(nil), err
}

// confirm reads what the far end got.
func confirm(c io.Reader, size int64, sum []byte) error {
	answer := make([]byte, 8+sha256.Size)
	if _, err := io.ReadFull(c, answer); err != nil {
		return err
	}
	if n := int64(binary.BigEndian.Uint64(answer)); n != size || string(answer[8:]) != string(sum) {
		return fmt.Errorf("%d of %d bytes arrived, or others", n, size)
	}
	return nil
}
