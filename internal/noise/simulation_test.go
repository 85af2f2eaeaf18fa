package noise

import (
	"fmt"
	"testing"
	"time"

	"github.com/bdtnet/bdt/internal/wire"
)

// A world is two devices, what is under way between them, and a clock that only
// it moves. All its choices come from choose, which makes a run repeatable from a
// seed, or from a fuzzer's bytes.
type world struct {
	tb      testing.TB
	now     time.Time
	nodes   [2]*node // the lower id first
	flights []flight
	choose  func(n int) int // in [0, n)

	delay      time.Duration // each packet takes at most that long
	lossy      bool          // a quarter is lost
	duplicates bool          // a quarter arrives twice
	mutates    bool          // a quarter has a bit changed
	sent       int
}

type flight struct {
	at  time.Time
	to  *node
	pkt []byte
}

// A node does with an Exchange what package peer does: it repeats what is to be
// repeated, and answers what is to be answered.
type node struct {
	w       *world
	local   *Local
	peer    *node
	table   *Table[*node]
	stamper *Stamper
	x       *Exchange
	dials   bool
	next    time.Time // when it next repeats something
	changes []Change
	refuses bool
}

func newWorld(tb testing.TB, choose func(int) int) *world {
	low, high := ordered(tb)
	w := &world{tb: tb, now: start, choose: choose}
	for n, l := range []*Local{low, high} {
		w.nodes[n] = &node{w: w, local: l, next: start}
	}
	for n, d := range w.nodes {
		d.peer = w.nodes[1-n]
		d.restart()
	}
	return w
}

// restart is the start of a process, which remembers nothing.
func (d *node) restart() {
	d.table = NewTable[*node](0)
	d.stamper = NewStamper(0, nil)
	d.changes = nil
	d.x = NewExchange(ExchangeConfig{
		Local: d.local, Remote: d.peer.local.ID(),
		Indices: d.table.For(d), Stamper: d.stamper, Marks: NewMarks(0),
	})
}

// send puts a packet under way, or not, or twice.
func (d *node) send(pkt []byte) {
	if pkt == nil {
		return
	}
	w := d.w
	w.sent++
	copies := 1
	switch {
	case w.lossy && w.choose(4) == 0:
		copies = 0
	case w.duplicates && w.choose(4) == 0:
		copies = 2
	}
	for range copies {
		if w.mutates && w.choose(4) == 0 {
			pkt = flip(pkt, w.choose(len(pkt)))
		}
		at := w.now.Add(time.Duration(w.choose(1000)+1) * w.delay / 1000)
		w.flights = append(w.flights, flight{at, d.peer, pkt})
	}
}

func (d *node) seal(msg string) {
	if c := d.x.Current(); c != nil {
		d.send(seal(d.w.tb, c, msg, d.w.now))
	}
}

func (d *node) begin(rekeys uint64) {
	pkt, err := d.x.Begin(d.w.now, d.peer.local.Device(), Offer{Rekeys: rekeys, Dialling: d.dials, Engines: allEngines})
	if err != nil {
		d.w.tb.Fatal(err)
	}
	d.send(pkt)
}

// dial begins unless there is an association.
func (d *node) dial() {
	d.dials = true
	if d.x.Current() == nil {
		d.begin(0)
	}
}

// tick repeats what has not been answered, each tenth of a second, and probes
// each second afterwards.
func (d *node) tick() {
	d.next = d.w.now.Add(100 * time.Millisecond)
	if c := d.x.Current(); c != nil && c.Heard() {
		d.next = d.w.now.Add(time.Second)
	}
	d.x.Expire(d.w.now)
	d.send(d.x.Packet(d.w.now))
	if d.dials && d.x.Current() == nil && !d.x.Pending() {
		d.begin(0)
	}
	if d.x.Current() != nil {
		d.seal("probe")
	}
}

func (d *node) receive(pkt []byte) {
	typ, err := wire.ControlType(pkt)
	if err != nil {
		return
	}
	switch typ {
	case wire.TypeInitiation:
		if in, err := d.local.ReadInitiation(pkt); err == nil {
			d.incoming(in)
		}
	case wire.TypeResponse:
		if r, err := d.x.HandleResponse(d.w.now, pkt); err == nil {
			d.result(r)
		}
	case wire.TypeSealed:
		d.sealed(pkt)
	case wire.TypeHint:
		if h, err := wire.ParseHint(pkt); err == nil && d.x.HandleHint(d.w.now, h) {
			d.begin(d.x.Current().SessionID())
		}
	}
}

func (d *node) incoming(in *Incoming) {
	decision, err := d.x.HandleIncoming(d.w.now, in)
	if err != nil {
		d.w.tb.Fatal(err)
	}
	if decision.Kind != DecideAnswer {
		d.send(decision.Packet)
		if decision.Kind == DecideWin && decision.Packet == nil {
			d.seal("probe")
		}
		return
	}
	if d.refuses {
		pkt, err := d.x.Refuse(d.w.now, in, "no")
		if err != nil {
			d.w.tb.Fatal(err)
		}
		d.send(pkt)
		return
	}
	pkt, _, err := d.x.Answer(d.w.now, in, Accept{Dialling: d.dials, GoesOn: decision.GoesOn, Engine: wire.EngineQUIC})
	if err != nil {
		d.w.tb.Fatal(err)
	}
	d.send(pkt)
}

func (d *node) result(r Result) {
	switch r.Kind {
	case ResultEstablished:
		d.changes = append(d.changes, r.Change)
		d.seal("probe")
	case ResultAgain:
		d.send(r.Packet)
	}
}

func (d *node) sealed(pkt []byte) {
	h, err := wire.ParseSealedHeader(pkt)
	if err != nil {
		return
	}
	a := d.x.Association(h.Receiver)
	if a == nil {
		d.send((&wire.Hint{Receiver: h.Receiver}).Append(nil))
		return
	}
	msg, err := a.Open(nil, pkt, d.w.now)
	if err != nil {
		return
	}
	if c, ok := d.x.Confirm(d.w.now, a); ok {
		d.changes = append(d.changes, c)
	}
	if string(msg) == "probe" {
		d.seal("reply")
	}
}

// run moves the clock to each event in turn until the given time.
func (w *world) run(until time.Time) {
	for {
		at, what := w.nextEvent()
		if at.After(until) {
			w.now = until
			return
		}
		w.now = at
		what()
		w.check()
	}
}

func (w *world) nextEvent() (at time.Time, what func()) {
	n := -1
	for i, f := range w.flights {
		if n < 0 || f.at.Before(w.flights[n].at) {
			n = i
		}
	}
	if n >= 0 {
		f := w.flights[n]
		at, what = f.at, func() { w.deliver(n) }
	}
	for _, d := range w.nodes {
		if what == nil || d.next.Before(at) {
			at, what = d.next, d.tick
		}
	}
	return at, what
}

func (w *world) deliver(n int) {
	f := w.flights[n]
	w.flights[n] = w.flights[len(w.flights)-1]
	w.flights = w.flights[:len(w.flights)-1]
	f.to.receive(f.pkt)
}

// check holds what is true after every event.
func (w *world) check() {
	for _, d := range w.nodes {
		held := 0
		for _, index := range d.x.slots.indices() {
			if index == 0 {
				continue
			}
			held++
			if owner, ok := d.table.Get(index); !ok || owner != d {
				w.tb.Fatalf("index %d is in use and free", index)
			}
		}
		if got := d.table.Len(); got != held {
			w.tb.Fatalf("%d indices given out, %d in use", got, held)
		}
		if d.x.State() != d.x.slots.state() {
			w.tb.Fatalf("state %v", d.x.State())
		}
		if next := d.x.Next(w.now); d.x.Pending() && next.IsZero() {
			w.tb.Fatal("a pending initiation without a deadline")
		}
		if c := d.x.Current(); c != nil && (!c.Confirmed() || c.Remote() != d.peer.local.ID()) {
			w.tb.Fatalf("current %v is not confirmed", c)
		}
	}
}

// agreed returns what is wrong unless both ends hold the same association.
func (w *world) agreed() error {
	a, b := w.nodes[0].x.Current(), w.nodes[1].x.Current()
	switch {
	case a == nil || b == nil:
		return fmt.Errorf("states %v and %v", w.nodes[0].x.State(), w.nodes[1].x.State())
	case a.Binding() != b.Binding():
		return fmt.Errorf("different associations")
	case a.SessionID() != b.SessionID() || a.Client() == b.Client() || a.Initiator() == b.Initiator():
		return fmt.Errorf("different sessions or equal roles")
	case a.LocalIndex() != b.RemoteIndex() || a.RemoteIndex() != b.LocalIndex():
		return fmt.Errorf("indices do not match")
	}
	return nil
}

// sessions returns how many sessions d has been in.
func (d *node) sessions() (n int) {
	for _, c := range d.changes {
		if !c.GoesOn {
			n++
		}
	}
	return n
}

// TestGlareSimulated has both dial within a random time of each other, over
// networks that delay, reorder, lose and repeat, and demands one association,
// the same at both ends; over those that only delay, one session in all.
func TestGlareSimulated(t *testing.T) {
	const runs = 1000
	extra, slowest := 0, time.Duration(0)
	for seed := range uint64(runs) {
		w := newWorld(t, seeded(seed))
		w.delay = time.Duration(1+w.choose(400)) * time.Millisecond
		w.lossy, w.duplicates, w.mutates = seed%2 == 1, seed%4 >= 2, seed%8 >= 4
		for _, d := range w.nodes {
			w.run(w.now.Add(time.Duration(w.choose(int(w.delay) + 1))))
			d.dial()
		}
		began := w.now
		for w.agreed() != nil && w.now.Before(began.Add(time.Minute)) {
			w.after(10 * time.Millisecond)
		}
		slowest = max(slowest, w.now.Sub(began))
		mutated := w.mutates
		w.mutates = false         // a changed bit can make a hint, and so another handshake
		w.after(12 * time.Second) // it stays so, when all else has expired
		if err := w.agreed(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, d := range w.nodes {
			if d.sessions() != 1 {
				extra++
				if !w.lossy && !mutated {
					t.Errorf("seed %d: %d sessions without loss", seed, d.sessions())
				}
			}
			if !mutated && (d.x.State() != StateEstablished || d.table.Len() != 1) {
				t.Errorf("seed %d: state %v, %d indices", seed, d.x.State(), d.table.Len())
			}
		}
	}
	t.Logf("agreed after at most %v; %d ends of %d saw more than one session", slowest, extra, 2*runs)
}

// TestRestartSimulated restarts either end at random moments.
func TestRestartSimulated(t *testing.T) {
	for seed := range uint64(200) {
		w := newWorld(t, seeded(seed))
		w.delay = time.Duration(1+w.choose(400)) * time.Millisecond
		w.lossy, w.duplicates = seed%2 == 1, seed%4 >= 2
		w.nodes[0].dials, w.nodes[1].dials = true, true
		for range 1 + w.choose(4) {
			w.after(time.Duration(w.choose(3000)) * time.Millisecond)
			w.nodes[w.choose(2)].restart()
		}
		w.after(40 * time.Second)
		if err := w.agreed(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}
