// Package pcap writes what a simulated network captures as a pcapng file
// (draft-ietf-opsawg-pcapng), which Wireshark opens: an interface for each link, and on it each
// packet when it enters the link, in nanoseconds.
package pcap

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// Block types and options, by section of the draft.
const (
	blockSection   = 0x0a0d0d0a // §4.1
	blockInterface = 1          // §4.2
	blockPacket    = 6          // §4.3, enhanced

	byteOrderMagic = 0x1a2b3c4d
	linkTypeRaw    = 101 // LINKTYPE_RAW: an IP packet, of either family

	optEnd         = 0
	optHardware    = 2 // of a section
	optApplication = 4
	optName        = 2 // of an interface
	optDescription = 3
	optResolution  = 9
	optFlags       = 2 // of a packet

	inbound, outbound = 1, 2
)

// A Writer writes a capture. Its methods may be called concurrently.
type Writer struct {
	mu     sync.Mutex // guards what follows
	w      *bufio.Writer
	err    error
	block  []byte
	links  uint32 // interfaces that were written
	packet int
}

// NewWriter begins a capture on w.
func NewWriter(w io.Writer) *Writer {
	out := &Writer{w: bufio.NewWriter(w)}
	out.begin(blockSection)
	out.put32(byteOrderMagic)
	out.put16(1, 0)                 // version 1.0
	out.put32(0xffffffff)           // the length of the section is not known
	out.put32(0xffffffff)           // in 64 bits
	out.option(optHardware, "none") // nothing of this was on a wire
	out.option(optApplication, "netsim")
	out.end()
	return out
}

// Network returns a function for [netsim.Network.Capture]. It writes each packet that enters a link, and
// nothing of what happens to it later. name stands before the names of links, if it is not
// empty, and epoch is when the network was made, by its clock. Several networks may
// be captured at once.
func (w *Writer) Network(name string, epoch time.Time) func(netsim.Capture) {
	if name != "" {
		name += ": "
	}
	links := make(map[*netsim.Link]uint32)
	return func(c netsim.Capture) {
		if c.Fate != netsim.Sent {
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		id, ok := links[c.Link]
		if !ok {
			id = w.addInterface(name, c.Link)
			links[c.Link] = id
		}
		w.addPacket(id, epoch.Add(c.Time), &c)
	}
}

// addPacket writes a packet.
func (w *Writer) addPacket(id uint32, t time.Time, c *netsim.Capture) {
	flags := uint32(inbound) // as the lower node sees it
	if c.Up {
		flags = outbound
	}
	at := uint64(t.UnixNano())
	data := c.Packet.AppendIP(nil)
	w.begin(blockPacket)
	w.put32(id)
	w.put32(uint32(at >> 32))
	w.put32(uint32(at))
	w.put32(uint32(len(data)))
	w.put32(uint32(len(data)))
	w.bytes(data)
	w.put16(optFlags, 4)
	w.put32(flags)
	w.option(optEnd, "")
	w.end()
	w.packet++
}

// addInterface writes a link, and returns its number.
func (w *Writer) addInterface(name string, l *netsim.Link) uint32 {
	id := w.links
	w.links++
	low, up := l.Ends()
	w.begin(blockInterface)
	w.put16(linkTypeRaw, 0)
	w.put32(0) // no limit to a packet
	w.option(optName, name+l.String())
	w.option(optDescription, name+"the link of "+low.Name()+" to "+up.Name()+", outbound from the former")
	w.option(optResolution, "\x09") // 10^-9 s
	w.option(optEnd, "")
	w.end()
	return id
}

// Packets returns how many were written.
func (w *Writer) Packets() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.packet
}

// Flush writes what is left, and returns the first error of all writes.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.w.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// begin begins a block, whose length end fills in.
func (w *Writer) begin(kind uint32) {
	w.block = w.block[:0]
	w.put32(kind)
	w.put32(0)
}

// end writes the block.
func (w *Writer) end() {
	length := uint32(len(w.block) + 4)
	binary.LittleEndian.PutUint32(w.block[4:], length)
	w.put32(length)
	if _, err := w.w.Write(w.block); w.err == nil {
		w.err = err
	}
}

// option appends an option. That of the section ends with the block (§3.5).
func (w *Writer) option(code uint16, value string) {
	w.put16(code, uint16(len(value)))
	w.bytes([]byte(value))
}

func (w *Writer) put16(values ...uint16) {
	for _, v := range values {
		w.block = binary.LittleEndian.AppendUint16(w.block, v)
	}
}

func (w *Writer) put32(v uint32) { w.block = binary.LittleEndian.AppendUint32(w.block, v) }

// bytes appends bytes, padded to 32 bits.
func (w *Writer) bytes(b []byte) {
	w.block = append(w.block, b...)
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}
