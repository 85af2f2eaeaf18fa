package pn

import (
	"bytes"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

const (
	// readBatch is how many entries one read may fill.
	readBatch = 64
	// The size of one entry's buffer: a coalesced run is as long as the largest IP
	// packet, a single packet as the largest Ethernet frame that is about. The odd
	// lines between them keep the heads of the buffers, which are all that a worker looks
	// at, from falling into one set of the processor's cache.
	runBuffer    = 64<<10 + 3*64
	packetBuffer = 9<<10 + 3*64
)

// A worker reads one socket: it forwards what is to be relayed, and has the rest handled.
type worker struct {
	s    *Server
	l    *listener
	conn underlay.UDPConn
	out  []outbox // by the index of the listener
	last *pair    // the one found last: bursts belong to one

	tally tally
	fates fates
	_     [64]byte // what another worker writes is on another line
}

// run is the goroutine. It owns the receive buffers, out of which it sends.
func (w *worker) run() {
	size := packetBuffer
	if w.conn.Features().GRO {
		size = runBuffer
	}
	backing := make([]byte, readBatch*size)
	ds := make([]underlay.Datagram, readBatch)
	for {
		for i := range ds {
			ds[i] = underlay.Datagram{Data: backing[i*size : (i+1)*size : (i+1)*size]}
		}
		n, err := w.conn.ReadBatch(ds)
		w.handle(ds[:n])
		if err != nil {
			w.failed(err)
			return
		}
	}
}

// handle deals with a batch.
func (w *worker) handle(ds []underlay.Datagram) {
	set, now := w.s.settings.Load(), time.Since(w.s.start)
	for i := range ds {
		w.entry(&ds[i], set, now)
	}
	for i := range w.out {
		if w.out[i].n > 0 {
			w.out[i].flush(&w.tally)
		}
	}
	w.tally.tell(&w.fates)
}

// entry deals with what came in one entry: the kernel coalesces packets of one flow by
// their sizes alone, so there may be packets of several tags and control packets in it.
func (w *worker) entry(d *underlay.Datagram, set *settings, now time.Duration) {
	b, size := d.Data, d.SegmentSize
	if size <= 0 || size > len(b) {
		size = len(b)
	}
	if len(b) == 0 {
		w.s.count.malformed.Add(1)
	}
	for len(b) > 0 {
		n := min(size, len(b))
		if b[0] == byte(wire.TypeRelayed) {
			n = relayedRun(b, size)
			f := w.relay(b[:n:n], size, d, set, now)
			if f != fateForwarded {
				w.tally.packets[f] += packetsIn(n, size)
			}
		} else {
			w.s.handleControl(place{w.l, d.Addr}, b[:n:n])
		}
		b = b[n:]
	}
}

// relayedRun returns how many bytes of a run of packets of a size, of which the first is
// a relayed one, have the same header.
func relayedRun(b []byte, size int) int {
	n := min(size, len(b))
	if n <= wire.RelayedHeaderLen {
		return n
	}
	head := b[:wire.RelayedHeaderLen]
	for n < len(b) {
		next := b[n:min(n+size, len(b))]
		if len(next) <= wire.RelayedHeaderLen || !bytes.Equal(next[:wire.RelayedHeaderLen], head) {
			break
		}
		n += len(next)
	}
	return n
}

// relay has a run of packets under one tag forwarded, or says why not (spec §4).
// fateForwarded says that it is in an outbox, or waits in the shaper.
func (w *worker) relay(run []byte, size int, d *underlay.Datagram, set *settings, now time.Duration) fate {
	m, err := wire.ParseRelayed(run)
	if err != nil {
		return fateMalformed
	}
	p := w.last
	if p == nil || p.tag != m.Tag || p.at() == over {
		if p = w.s.pairs.get(m.Tag); p == nil {
			return fateUnknown
		}
		w.last = p
	}
	if p.at() != ready {
		return fateHalf
	}
	from, to, f := p.direction(w.l, d)
	if f != fateForwarded {
		return f
	}
	if f := set.spend(p, len(run), now); f != fateForwarded {
		return f
	}
	p.last.Store(int64(now))
	from.heard.Store(int64(now))
	if size >= len(run) {
		size = 0
	}
	if h := w.s.shaper; h != nil && !h.pass(len(run), now) {
		h.wait(p, run, size, d.ECN, to, now)
		return fateForwarded
	}
	o := &w.out[to.via.index]
	o.runs[o.n] = underlay.Datagram{Data: run, Addr: to.addr, SegmentSize: size, ECN: d.ECN}
	if o.n++; o.n == len(o.runs) {
		o.flush(&w.tally)
	}
	return fateForwarded
}

// direction finds out from which end of a ready pair packets came, and where the other
// one is.
func (p *pair) direction(via *listener, d *underlay.Datagram) (from *session, to *place, f fate) {
	a, b := p.ends[0].session.Load(), p.ends[1].session.Load()
	atA, atB := a.where.Load(), b.where.Load()
	switch {
	case atA != nil && atA.addr == d.Addr && atA.via == via:
		from, to = a, atB
	case atB != nil && atB.addr == d.Addr && atB.via == via:
		from, to = b, atA
	default:
		return nil, nil, fateElsewhere
	}
	if to == nil {
		return nil, nil, fateHalf
	}
	return from, to, fateForwarded
}

// A verdict says whether an account has enough left.
type verdict uint8

const (
	pass verdict = iota
	overRate
	overQuota
)

// spend takes n bytes from all that a pair is bound by. What one of them has too little for is
// taken from none.
func (set *settings) spend(p *pair, n int, now time.Duration) fate {
	if !p.rate.take(set.pair, n, now) {
		return fateRate
	}
	v := p.payer.spend(set.payer, n, now)
	if v == pass {
		if v = p.zone.spend(set.zone, n, now); v != pass {
			p.payer.refund(set.payer, n)
		}
	}
	if v != pass {
		p.rate.give(set.pair, n)
	}
	switch v {
	case overRate:
		return fateRate
	case overQuota:
		return fateQuota
	}
	return fateForwarded
}
