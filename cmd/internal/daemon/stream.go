package daemon

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/bdt"
)

// A remoteStream is a stream of the device that another process runs.
type remoteStream struct {
	conn          net.Conn // to that process
	local, remote bdt.Addr
	rights        bdt.Rights

	reading sync.Mutex
	frames  *frameReader
	ended   error // that Read returns from now on

	writing sync.Mutex
	buf     []byte
	over    error // that Write returns from now on

	close sync.Once
}

// Read implements net.Conn.
func (s *remoteStream) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.ended != nil || len(b) == 0 {
		return 0, s.ended
	}
	kind, payload, err := s.frames.next()
	for err == nil && kind == frameRefused {
		s.refuse(parseErrorFrame(payload))
		kind, payload, err = s.frames.next()
	}
	switch {
	case isTimeout(err):
		return 0, s.failed("read", err)
	case err == io.EOF:
		s.ended = s.failed("read", ErrGone)
	case err != nil:
		s.ended = s.failed("read", err)
	case kind == frameData:
		return s.frames.read(b)
	case kind == frameEnd:
		s.ended = io.EOF
	case kind == frameError:
		s.ended = parseErrorFrame(payload)
	default:
		s.ended = s.failed("read", errFrame)
	}
	return 0, s.ended
}

// refuse has writes fail from now on. A Write on the way is not held up: what it writes
// is read and thrown away.
func (s *remoteStream) refuse(err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.over == nil {
		s.over = err
	}
}

// Write implements net.Conn.
func (s *remoteStream) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	written := 0
	for len(b) > 0 && s.over == nil {
		block := b[:min(len(b), blockSize)]
		s.buf = appendFrame(s.buf[:0], frameData, block)
		n, err := s.conn.Write(s.buf)
		written += max(0, n-frameHeader)
		if err != nil {
			// A frame that is cut short cannot be mended.
			s.over = s.whyNot(err)
		}
		b = b[len(block):]
	}
	return written, s.over
}

// whyNot returns why a write to the process failed with err: it may have said that the
// peer wants no more, after the end of what it has sent.
func (s *remoteStream) whyNot(err error) error {
	if !isTimeout(err) && s.reading.TryLock() {
		defer s.reading.Unlock()
		if s.ended == io.EOF {
			if kind, payload, e := s.frames.next(); e == nil && kind == frameRefused {
				return parseErrorFrame(payload)
			}
		}
	}
	return s.failed("write", err)
}

// CloseWrite implements [Stream].
func (s *remoteStream) CloseWrite() error {
	return s.last(frameEnd, nil)
}

// last writes the last frame, unless one was written.
func (s *remoteStream) last(kind frameKind, payload []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if kind == frameEnd && s.over != nil {
		return nil
	}
	if s.over == nil || kind == frameClose && errors.Is(s.over, errEnded) {
		s.over = s.failed("write", errEnded)
		if _, err := s.conn.Write(appendFrame(nil, kind, payload)); err != nil {
			return s.failed("close", err)
		}
	}
	return nil
}

// errEnded: Write after CloseWrite.
var errEnded = errors.New("the stream was closed for writing")

// Close implements net.Conn. What was written is delivered.
func (s *remoteStream) Close() error {
	s.close.Do(func() {
		// A Write that waits for the peer is cut off.
		s.conn.SetDeadline(time.Now().Add(closeTimeout))
		s.last(frameClose, nil)
		s.conn.Close()
	})
	return nil
}

// closeTimeout bounds the time for which Close waits to hand over its frame.
const closeTimeout = 5 * time.Second

// Reset implements [Stream].
func (s *remoteStream) Reset(code uint32) {
	s.close.Do(func() {
		// A Write on the way must not stand between, and its frame be whole.
		s.conn.SetDeadline(time.Now())
		s.writing.Lock()
		whole := s.over == nil || errors.Is(s.over, errEnded)
		s.over = s.failed("write", bdt.ErrClosed)
		s.writing.Unlock()
		if whole {
			s.conn.SetDeadline(time.Now().Add(closeTimeout))
			s.conn.Write(appendFrame(nil, frameReset, binary.BigEndian.AppendUint32(nil, code)))
		}
		s.conn.Close() // which resets the stream, with the code 0, if nothing else did
	})
}

// Rights implements [Stream].
func (s *remoteStream) Rights() bdt.Rights { return s.rights }

// LocalAddr implements net.Conn.
func (s *remoteStream) LocalAddr() net.Addr { return s.local }

// RemoteAddr implements net.Conn.
func (s *remoteStream) RemoteAddr() net.Addr { return s.remote }

// SetDeadline implements net.Conn.
func (s *remoteStream) SetDeadline(t time.Time) error { return s.conn.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (s *remoteStream) SetReadDeadline(t time.Time) error { return s.conn.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn. After a Write that has met it the stream is
// of no more use.
func (s *remoteStream) SetWriteDeadline(t time.Time) error { return s.conn.SetWriteDeadline(t) }

// failed names the operation and the peer.
func (s *remoteStream) failed(op string, err error) error {
	if errors.Is(err, net.ErrClosed) {
		err = bdt.ErrClosed
	}
	return &bdt.OpError{Op: op, Peer: s.remote.ID, Err: err}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// carry carries a stream of the device over a connection from the process that uses
// it, until both directions are over or the connection is closed.
func carry(conn net.Conn, frames *frameReader, stream Stream) {
	c := carrier{conn: conn, stream: stream}
	var ways sync.WaitGroup
	ways.Go(c.out)
	c.in(frames)
	ways.Wait()
	conn.Close()
}

// A carrier is one stream and the connection that it is carried over.
type carrier struct {
	conn   net.Conn
	stream Stream
	over   atomic.Int32 // directions in which nothing can travel any more
}

// end says that a direction is over. With the second so is the connection, or the
// process could go on writing for nobody.
func (c *carrier) end() {
	if c.over.Add(1) == 2 {
		c.conn.Close()
	}
}

// out sends what the peer writes, and how it ends.
func (c *carrier) out() {
	block := make([]byte, frameHeader+blockSize)
	for {
		n, err := c.stream.Read(block[frameHeader:])
		if n > 0 {
			block[0], block[1], block[2] = byte(frameData), byte(n>>8), byte(n)
			if _, err := c.conn.Write(block[:frameHeader+n]); err != nil {
				c.stream.Reset(0)
				return
			}
		}
		// If one of these fails, in sees it.
		switch {
		case err == io.EOF:
			c.conn.Write(appendFrame(nil, frameEnd, nil))
		case err != nil:
			c.conn.Write(errorFrame(frameError, err))
		default:
			continue
		}
		c.end()
		return
	}
}

// in takes what the process writes, and does what it asks for at the end.
func (c *carrier) in(frames *frameReader) {
	block := make([]byte, blockSize)
	ended, refused := false, false
	for {
		kind, payload, err := frames.next()
		n := 0
		if err == nil && kind == frameData {
			n, err = frames.read(block)
		}
		switch {
		case err != nil || ended && (kind == frameData || kind == frameEnd):
			// The process has died, or its program is not ours.
			c.stream.Reset(0)
		case kind == frameData:
			if refused {
				continue
			}
			if _, err = c.stream.Write(block[:n]); err != nil {
				refused = true // what the peer has sent may still be read
				c.conn.Write(errorFrame(frameRefused, err))
				c.end()
			}
			continue
		case kind == frameEnd:
			c.stream.CloseWrite()
			ended = true
			continue
		case kind == frameClose:
			c.stream.Close()
		case kind == frameReset:
			c.stream.Reset(binary.BigEndian.Uint32(payload))
		default:
			c.stream.Reset(0)
		}
		return
	}
}
