package daemon

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A stream that is carried over the socket is cut into frames, each way:
//
//	kind (1) | length (2, big-endian) | payload
//
// An end, a close, a reset and an error are the last of their direction, but that a
// close may follow an end.
type frameKind uint8

const (
	frameData  frameKind = 0 // bytes of the stream
	frameEnd   frameKind = 1 // CloseWrite
	frameClose frameKind = 2 // Close; to the device's process only
	frameReset frameKind = 3 // Reset, a code (4, big-endian); to the device's process only
	frameError frameKind = 4 // reading failed, a wireError in JSON; from the device's process only
	// frameRefused says that writing failed, a wireError in JSON; from the device's
	// process only, which goes on with what the peer sends.
	frameRefused frameKind = 5
)

const (
	frameHeader = 3
	maxFrame    = 1<<16 - 1
	// blockSize is how many bytes of a stream a frame holds at most, so that
	// frame and header are written at once.
	blockSize = 32 << 10
)

var errFrame = errors.New("daemon: malformed frame")

// appendFrame appends a frame. The payload is at most maxFrame long.
func appendFrame(b []byte, kind frameKind, payload []byte) []byte {
	b = append(b, byte(kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	return append(b, payload...)
}

// A frameReader reads frames. After an error that is a timeout it can be used again
// and has lost nothing.
type frameReader struct {
	r    *bufio.Reader
	left int // bytes of the payload of a data frame
}

// next returns the next frame that is not data, with its payload, once the data
// before it has been read; until then kind is frameData and left is not 0.
func (f *frameReader) next() (kind frameKind, payload []byte, err error) {
	for {
		if f.left > 0 {
			return frameData, nil, nil
		}
		head, err := f.r.Peek(frameHeader)
		if err != nil {
			return 0, nil, cut(err, len(head))
		}
		kind, n := frameKind(head[0]), int(binary.BigEndian.Uint16(head[1:]))
		switch {
		case kind > frameRefused,
			(kind == frameEnd || kind == frameClose) && n != 0,
			kind == frameReset && n != 4:
			return 0, nil, fmt.Errorf("%w: kind %d, %d bytes", errFrame, kind, n)
		case kind == frameData:
			f.r.Discard(frameHeader)
			f.left = n
			continue
		}
		// All of it or nothing, so that a timeout loses nothing.
		all, err := f.r.Peek(frameHeader + n)
		if err != nil {
			return 0, nil, cut(err, len(all))
		}
		payload = append([]byte(nil), all[frameHeader:]...)
		f.r.Discard(frameHeader + n)
		return kind, payload, nil
	}
}

// cut is err, but the end of the connection in the middle of a frame.
func cut(err error, n int) error {
	if err == io.EOF && n > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read reads bytes of the data frame that next has found.
func (f *frameReader) read(b []byte) (int, error) {
	n, err := f.r.Read(b[:min(len(b), f.left)])
	f.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// newFrameReader reads frames from r.
func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, frameHeader+maxFrame)}
}

// errorFrame is the frame, of a kind that holds one, for an error.
func errorFrame(kind frameKind, err error) []byte {
	w := newWireError(err)
	w.Text = w.Text[:min(len(w.Text), maxErrorText)]
	text, _ := json.Marshal(w) // strings and numbers
	return appendFrame(nil, kind, text)
}

// maxErrorText bounds the text of an error, which JSON makes six times as long at
// most.
const maxErrorText = 8 << 10

// parseErrorFrame reads the payload of an error's frame.
func parseErrorFrame(payload []byte) error {
	var w wireError
	if err := json.Unmarshal(payload, &w); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return w.err()
}
