package snload

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/socket"
	"github.com/bdtnet/bdt/internal/wire"
)

// A demux hands what arrives to the device that it is for. A stack, with a few
// SN clients, offers what names no receiver of ours to all; with many thousands
// the packets that went out tell: a Describe its nonce, a Sealed packet the SN's index.
type demux struct {
	table     *noise.Table[*device]
	remote    names[uint32]
	described names[uint64]
}

func (x *demux) init(table *noise.Table[*device]) {
	x.table = table
	x.remote.m, x.described.m = make(map[uint32]*device), make(map[uint64]*device)
}

// names maps something in an outgoing packet to the device that sent it, the
// latest of each device.
type names[K comparable] struct {
	mu sync.RWMutex
	m  map[K]*device
}

// replace gives a device another name.
func (n *names[K]) replace(old, name K, d *device) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m[old] == d {
		delete(n.m, old)
	}
	n.m[name] = d
}

func (n *names[K]) get(name K) *device {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.m[name]
}

// sending looks at a packet that a device sends.
func (x *demux) sending(d *device, to netip.AddrPort, b []byte) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeSealed:
		if h, err := wire.ParseSealedHeader(b); err == nil {
			if old := d.remote.Swap(h.Receiver); old != h.Receiver {
				x.remote.replace(old, h.Receiver, d)
				d.to.Store(&to)
			}
		}
	case wire.TypeDescribe:
		if m, err := wire.ParseDescribe(b); err == nil {
			nonce := binary.BigEndian.Uint64(m.Nonce[:])
			x.described.replace(d.nonce.Swap(nonce), nonce, d)
		}
	}
}

// HandleControl implements [socket.Handler].
func (x *demux) HandleControl(_ *socket.Socket, b []byte, from netip.AddrPort) {
	if d := x.receiver(b); d != nil {
		d.client.HandleControl(b, from)
	}
}

// receiver returns the device that a packet is for, nil if there is none.
func (x *demux) receiver(b []byte) *device {
	t, err := wire.ControlType(b)
	if err != nil {
		return nil
	}
	var index uint32
	switch t {
	case wire.TypeSealed:
		h, err := wire.ParseSealedHeader(b)
		if err != nil {
			return nil
		}
		index = h.Receiver
	case wire.TypeResponse:
		m, err := wire.ParseResponse(b)
		if err != nil {
			return nil
		}
		index = m.Receiver
	case wire.TypeCookieReply:
		m, err := wire.ParseCookieReply(b)
		if err != nil {
			return nil
		}
		index = m.Receiver
	case wire.TypeHint:
		m, err := wire.ParseHint(b)
		if err != nil {
			return nil
		}
		return x.remote.get(m.Receiver)
	case wire.TypeDescribed:
		m, err := wire.ParseDescribed(b)
		if err != nil {
			return nil
		}
		return x.described.get(binary.BigEndian.Uint64(m.Nonce[:]))
	}
	d, _ := x.table.Get(index)
	return d
}

// HandleSTUN implements [socket.Handler].
func (x *demux) HandleSTUN(*socket.Socket, []byte, netip.AddrPort) {}
