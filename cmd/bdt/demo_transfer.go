package main

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// demoService takes bytes: 8 bytes say how many follow. It answers with the
// count of what it got (8 bytes) and its SHA-256.
const demoService = "demo"

// A receiver is the far end of the demo's transfer. Its methods may be called
// concurrently.
type receiver struct {
	mu    sync.Mutex
	bytes int64
	last  time.Time     // of the last arrival
	gap   time.Duration // the longest between two arrivals since the mark
}

// serve takes what one stream brings.
func (r *receiver) serve(ln *bdt.Listener) error {
	c, err := ln.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	return r.receive(c)
}

// receive reads what has been announced, and answers.
func (r *receiver) receive(c io.ReadWriter) error {
	var size [8]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	hash := sha256.New()
	n, err := io.CopyN(io.MultiWriter(hash, r), c, int64(binary.BigEndian.Uint64(size[:])))
	if err != nil {
		return err
	}
	_, err = c.Write(hash.Sum(binary.BigEndian.AppendUint64(nil, uint64(n))))
	return err
}

// Write counts what has arrived.
func (r *receiver) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.last.IsZero() {
		r.gap = max(r.gap, now.Sub(r.last))
	}
	r.last = now
	r.bytes += int64(len(b))
	return len(b), nil
}

// received returns how many bytes have arrived.
func (r *receiver) received() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytes
}

// mark forgets the gaps so far.
func (r *receiver) mark() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap = 0
}

// stall returns the longest gap between two arrivals since the mark.
func (r *receiver) stall() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gap
}

// send sends size random bytes to a device's demo service.
func send(ctx context.Context, stack *bdt.Stack, id identity.ID, size int64) error {
	c, err := stack.Dial(ctx, id, demoService)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Reset(0) })
	defer stop()
	if err := transmit(c, size); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}

// transmit sends size random bytes, and checks the count and the hash that
// come back.
func transmit(c io.ReadWriter, size int64) error {
	if _, err := c.Write(binary.BigEndian.AppendUint64(nil, uint64(size))); err != nil {
		return err
	}
	var seed [32]byte
	crand.Read(seed[:])
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c, hash), rand.NewChaCha8(seed), size); err != nil {
		return err
	}
	var answer [8 + sha256.Size]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(answer[:8]); n != uint64(size) {
		return fmt.Errorf("sent %d bytes, %d arrived", size, n)
	}
	if !bytes.Equal(answer[8:], hash.Sum(nil)) {
		return errors.New("what arrived has another SHA-256 than what was sent")
	}
	return nil
}
