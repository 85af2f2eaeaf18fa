package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Service is the name of the service.
const Service = "bench"

const (
	version    = 1
	headerSize = 6

	// MaxDuration bounds how long one stream may move bytes (spec §2).
	MaxDuration = 60 * time.Second
	// maxQuestion bounds the bytes of a question (spec §2).
	maxQuestion = 64 << 10
	// blockSize is how much is read or written at once.
	blockSize = 64 << 10
)

// A stream is what the service needs of a connection's stream; *bdt.Conn is
// one.
type stream interface {
	net.Conn
	CloseWrite() error
	Reset(code uint32)
}

// An op is what a stream is for. Numbers are never reused.
type op uint8

const (
	opSink   op = 1 // the server counts what it reads
	opSource op = 2 // the server writes for argument milliseconds
	opAnswer op = 3 // the server returns the argument bytes that follow
)

// A header begins each stream (spec §1):
//
//	version (1) | op (1) | argument (4, big-endian)
type header struct {
	op       op
	argument uint32
}

// Append appends the encoding.
func (h header) Append(b []byte) []byte {
	b = append(b, version, byte(h.op))
	return binary.BigEndian.AppendUint32(b, h.argument)
}

// readHeader reads a header and nothing beyond it, and checks that its
// argument is within bounds.
func readHeader(r io.Reader) (header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, err
	}
	if b[0] != version {
		return header{}, fmt.Errorf("bench: header of version %d", b[0])
	}
	h := header{op(b[1]), binary.BigEndian.Uint32(b[2:])}
	limit := uint32(0)
	switch h.op {
	case opSink:
	case opSource:
		limit = uint32(MaxDuration.Milliseconds())
	case opAnswer:
		limit = maxQuestion
	default:
		return header{}, fmt.Errorf("bench: unknown operation %d", h.op)
	}
	if h.argument > limit {
		return header{}, fmt.Errorf("bench: argument %d of operation %d, at most %d", h.argument, h.op, limit)
	}
	return h, nil
}
