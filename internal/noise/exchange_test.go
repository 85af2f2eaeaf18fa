package noise

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// seeded returns choices from a seed.
func seeded(seed uint64) func(int) int {
	return rand.New(rand.NewPCG(seed, 0)).IntN
}

// quiet is a world where packets take 50 ms and nodes do only what the test says.
func quiet(t *testing.T) (w *world, low, high *node) {
	w = newWorld(t, func(int) int { return 499 })
	w.delay = 100 * time.Millisecond
	for _, d := range w.nodes {
		d.next = start.Add(1000 * time.Hour)
	}
	return w, w.nodes[0], w.nodes[1]
}

func (w *world) after(d time.Duration) { w.run(w.now.Add(d)) }

// establish dials and waits until both ends agree.
func (w *world) establish(from *node) {
	w.tb.Helper()
	from.dial()
	w.after(200 * time.Millisecond)
	if err := w.agreed(); err != nil {
		w.tb.Fatal(err)
	}
}

func wantState(t *testing.T, d *node, want State) {
	t.Helper()
	if got := d.x.State(); got != want {
		t.Errorf("state %v, want %v", got, want)
	}
}

func TestExchange(t *testing.T) {
	w, low, high := quiet(t)
	wantState(t, low, StateIdle)
	low.dial()
	wantState(t, low, StateInitiating)
	w.after(60 * time.Millisecond)
	wantState(t, high, StateAnswered)
	if high.x.Current() != nil {
		t.Error("current before it is confirmed")
	}
	w.after(50 * time.Millisecond)
	wantState(t, low, StateEstablished)
	wantState(t, high, StateAnswered)
	w.after(50 * time.Millisecond)
	wantState(t, high, StateEstablished)
	if err := w.agreed(); err != nil {
		t.Error(err)
	}
	for _, d := range w.nodes {
		if len(d.changes) != 1 || d.changes[0].Replaced != nil || d.changes[0].GoesOn || d.changes[0].Association != d.x.Current() {
			t.Errorf("changes %+v", d.changes)
		}
	}
	if !low.x.Current().Client() {
		t.Error("the dialler is not the client")
	}
	low.x.Close()
	wantState(t, low, StateIdle)
	if low.table.Len() != 0 {
		t.Error("indices left after Close")
	}
}

// TestExchangeBegin: what is under way goes on, with the same bytes.
func TestExchangeBegin(t *testing.T) {
	_, low, high := quiet(t)
	first, err := low.x.Begin(start, high.local.Device(), Offer{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := low.x.Begin(start.Add(time.Second), high.local.Device(), Offer{Early: []byte("other")})
	if err != nil || string(first) != string(second) || string(low.x.Packet(start)) != string(first) {
		t.Errorf("second Begin: another packet, %v", err)
	}
	if next := low.x.Next(start); !next.Equal(start.Add(pendingLife)) {
		t.Errorf("next %v", next)
	}
	if e := low.x.Expire(start.Add(pendingLife - 1)); e.Pending {
		t.Error("expired too early")
	}
	if e := low.x.Expire(start.Add(pendingLife)); !e.Pending || low.x.Pending() || low.table.Len() != 0 {
		t.Error("not expired")
	}
	if !low.x.Next(start).IsZero() {
		t.Error("idle with a deadline")
	}
	if _, err := high.x.Begin(start, high.local.Device(), Offer{}); !errors.Is(err, identity.ErrWrongID) {
		t.Errorf("descriptor of another: %v", err)
	}
	if _, err := low.x.Begin(start, high.local.Device(), Offer{Early: make([]byte, 500)}); !errors.Is(err, ErrTooLarge) || low.table.Len() != 0 {
		t.Errorf("bad offer: %v, %d indices", err, low.table.Len())
	}
	if _, err := low.x.HandleResponse(start, nil); !errors.Is(err, ErrIndex) {
		t.Errorf("response to nothing: %v", err)
	}
	if _, err := low.x.HandleCookie(wire.CookieReply{}); !errors.Is(err, ErrIndex) {
		t.Errorf("cookie for nothing: %v", err)
	}
}

// TestGlareWinner: the lower id ignores the other's initiation, and sends its own
// to where that came from; the higher one answers.
func TestGlare(t *testing.T) {
	w, low, high := quiet(t)
	low.dial()
	high.dial()
	lows, highs := read(t, high.local, low.x.Packet(start)), read(t, low.local, high.x.Packet(start))
	d, err := low.x.HandleIncoming(start, highs)
	if err != nil || d.Kind != DecideWin || string(d.Packet) != string(low.x.Packet(start)) {
		t.Errorf("the lower id decides to %v, %v", d.Kind, err)
	}
	d, err = high.x.HandleIncoming(start, lows)
	if err != nil || d.Kind != DecideAnswer || !d.Yields {
		t.Errorf("the higher id decides to %v, yields %v, %v", d.Kind, d.Yields, err)
	}
	w.after(time.Second)
	if err := w.agreed(); err != nil {
		t.Fatal(err)
	}
	if !low.x.Current().Initiator() || !low.x.Current().Client() || low.sessions() != 1 || high.sessions() != 1 {
		t.Errorf("initiator %v, client %v, sessions %d and %d",
			low.x.Current().Initiator(), low.x.Current().Client(), low.sessions(), high.sessions())
	}
	if high.x.Pending() {
		t.Error("the loser's initiation is still under way")
	}
}

// TestGlareHold: the loser's initiation is held back for a second, lest a replayed
// one of the winner's end it.
func TestGlareHold(t *testing.T) {
	w, low, high := quiet(t)
	replayed, err := low.local.Initiate(high.local.Device(), Offer{Index: 1, Stamp: 1})
	if err != nil {
		t.Fatal(err)
	}
	high.dial()
	w.flights = nil
	if _, _, err := high.x.Answer(w.now, read(t, high.local, replayed.Packet()), Accept{}); err != nil {
		t.Fatal(err)
	}
	if high.x.Packet(w.now) != nil || !high.x.Pending() {
		t.Error("not held back")
	}
	if next := high.x.Next(w.now); !next.Equal(w.now.Add(holdTime)) {
		t.Errorf("next %v", next.Sub(w.now))
	}
	w.after(holdTime)
	high.send(high.x.Packet(w.now))
	w.after(time.Second)
	if err := w.agreed(); err != nil {
		t.Errorf("after the replay: %v", err)
	}
	_ = low
}

// TestGlareAfterwards: the loser's initiation that arrives when the winner's has
// been answered already makes no second association, until the time is up.
func TestGlareAfterwards(t *testing.T) {
	w, low, high := quiet(t)
	high.dial()
	late := w.flights[0].pkt
	w.flights = nil
	low.dial()
	w.after(105 * time.Millisecond) // the response is here, the first Sealed is not there
	in := read(t, low.local, late)
	d, err := low.x.HandleIncoming(w.now, in)
	if err != nil || d.Kind != DecideWin || d.Packet != nil {
		t.Errorf("decision %v, %v", d.Kind, err)
	}
	if d, err := low.x.HandleIncoming(w.now.Add(glareTime), in); err != nil || d.Kind != DecideAnswer {
		t.Errorf("after %v: decision %v, %v", glareTime, d.Kind, err)
	}
	w.after(time.Second) // the winner has heard the loser
	if d, err := low.x.HandleIncoming(w.now, read(t, low.local, late)); err != nil || d.Kind != DecideAnswer {
		t.Errorf("after the loser was heard: decision %v, %v", d.Kind, err)
	}
}

// TestRepeat: a copy of an answered initiation earns the same bytes for 10 s, and
// afterwards a stale answer.
func TestRepeat(t *testing.T) {
	_, low, high := quiet(t)
	low.dial()
	initiation := low.x.Packet(start)
	pkt, first, err := high.x.Answer(start, read(t, high.local, initiation), Accept{})
	if err != nil {
		t.Fatal(err)
	}
	again := read(t, high.local, initiation)
	for _, c := range []struct {
		after time.Duration
		want  DecisionKind
	}{{0, DecideRepeat}, {responseLife - 1, DecideRepeat}, {responseLife, DecideStale}} {
		d, err := high.x.HandleIncoming(start.Add(c.after), again)
		if err != nil || d.Kind != c.want || d.Kind == DecideRepeat && string(d.Packet) != string(pkt) {
			t.Errorf("copy after %v: %v, %v", c.after, d.Kind, err)
		}
	}
	if high.x.Association(first.LocalIndex()) != first || high.table.Len() != 1 {
		t.Error("copies created something")
	}
	if e := high.x.Expire(start.Add(tentativeLife)); !e.Tentative || high.x.State() != StateIdle || high.table.Len() != 0 {
		t.Errorf("%+v, state %v", e, high.x.State())
	}
	if high.x.answered.packet != nil {
		t.Error("the response is kept for ever")
	}
}

// TestStale: a device whose clock stands in 1970 catches up with its mark.
func TestStale(t *testing.T) {
	w, low, high := quiet(t)
	w.establish(low)
	low.restart()
	clock := w.now
	w.now = time.Unix(0, 0)
	low.dial()
	w.now = clock
	w.flights[len(w.flights)-1].at = clock
	w.after(time.Second)
	if err := w.agreed(); err != nil {
		t.Fatal(err)
	}
	if got := low.stamper.Next(time.Unix(0, 0), high.local.ID()); got <= uint64(start.UnixMicro()) {
		t.Errorf("the next stamp is %d, below the mark again", got)
	}
	if c := high.changes[1]; c.GoesOn || c.Replaced == nil {
		t.Errorf("restart: %+v", c)
	}
}

// TestStaleTwice: what a responder claims is not followed for ever.
func TestStaleTwice(t *testing.T) {
	for name, marks := range map[string][]uint64{
		"rising marks": {uint64(start.UnixMicro()) + 1e9, uint64(start.UnixMicro()) + 1e12},
		"last stamp":   {math.MaxUint64},
		"mark below":   {5},
	} {
		_, low, high := quiet(t)
		low.dial()
		for n, mark := range marks {
			pkt, err := read(t, high.local, low.x.Packet(start)).Stale(mark)
			if err != nil {
				t.Fatal(err)
			}
			r, err := low.x.HandleResponse(start, pkt)
			if err != nil {
				t.Fatal(err)
			}
			if last := n == len(marks)-1; last && (r.Kind != ResultFailed || !errors.Is(r.Err, ErrStale) || low.x.Pending()) {
				t.Errorf("%s: result %v, %v", name, r.Kind, r.Err)
			} else if !last && (r.Kind != ResultAgain || low.x.slots.pending.Stamp() != mark+1) {
				t.Errorf("%s: result %v, %v", name, r.Kind, r.Err)
			}
		}
		if low.table.Len() != 0 {
			t.Errorf("%s: %d indices left", name, low.table.Len())
		}
	}
}

func TestRefuse(t *testing.T) {
	w, low, high := quiet(t)
	high.refuses = true
	low.dial()
	initiation := low.x.Packet(start)
	in := read(t, high.local, initiation)
	pkt, err := high.x.Refuse(start, in, "not today")
	if err != nil {
		t.Fatal(err)
	}
	r, err := low.x.HandleResponse(start, pkt)
	if err != nil || r.Kind != ResultFailed || !errors.Is(r.Err, ErrRefused) || low.x.State() != StateIdle {
		t.Errorf("result %v, %v, %v", r.Kind, r.Err, err)
	}
	if d, err := high.x.HandleIncoming(start, read(t, high.local, initiation)); err != nil || d.Kind != DecideRepeat || string(d.Packet) != string(pkt) {
		t.Errorf("copy of a refused one: %v, %v", d.Kind, err)
	}
	if _, err := high.x.Refuse(start, in, ""); !errors.Is(err, ErrSpent) {
		t.Errorf("refused twice: %v", err)
	}
	if high.table.Len() != 0 {
		t.Error("a refusal holds an index")
	}
	_ = w
}

// TestBadResponse: one whose sender is genuine and whose payload is not ends the
// attempt.
func TestBadResponse(t *testing.T) {
	_, low, high := quiet(t)
	low.dial()
	in := read(t, high.local, low.x.Packet(start))
	message, _, _, err := in.noise.WriteMessage(nil, []byte{9})
	if err != nil {
		t.Fatal(err)
	}
	pkt := respondWith(low.local.ID(), wire.Response{Sender: 1, Receiver: in.Index, Noise: message})
	if _, err := low.x.HandleResponse(start, flip(pkt, 20)); err == nil || !low.x.Pending() {
		t.Errorf("a forged response ended the attempt: %v", err)
	}
	r, err := low.x.HandleResponse(start, pkt)
	if err != nil || r.Kind != ResultFailed || !errors.Is(r.Err, wire.ErrShort) || r.Answer == nil || low.x.Pending() {
		t.Errorf("result %v, %v, %v", r.Kind, r.Err, err)
	}
}

// TestRekey: the session goes on under new keys, and packets under the old ones
// open for 10 s more.
func TestRekey(t *testing.T) {
	w, low, high := quiet(t)
	w.establish(low)
	w.after(time.Minute)
	session, old := low.x.Current().SessionID(), high.x.Current()
	inFlight := seal(t, low.x.Current(), "late", w.now)
	high.begin(session)
	wantState(t, high, StateRenewing)
	w.after(60 * time.Millisecond)
	if high.x.Current() != old || low.x.State() != StateRenewing || low.x.Current().Binding() != old.Binding() {
		t.Error("replaced before it is confirmed")
	}
	w.after(time.Second)
	if err := w.agreed(); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.nodes {
		if c := d.changes[1]; !c.GoesOn || c.Replaced == nil || d.x.Current().SessionID() != session || !d.x.Current().GoesOn() {
			t.Errorf("change %+v", c)
		}
	}
	if high.x.Current().Binding() == old.Binding() || !high.x.Current().Initiator() {
		t.Error("the keys are the old ones")
	}
	if !low.x.Current().Client() {
		t.Error("the one that dials is not the client, whoever began")
	}
	if a := high.x.Association(old.LocalIndex()); a != old {
		t.Error("the old association is gone")
	} else {
		open(t, a, inFlight, "late", w.now)
	}
	w.after(previousLife)
	high.x.Expire(w.now)
	if high.x.Association(old.LocalIndex()) != nil || high.table.Len() != 1 {
		t.Error("the old association is kept for ever")
	}
}

// TestRestart: nothing of the old session is touched until the new keys are
// confirmed, and then it ends. A replay cannot confirm.
func TestRestart(t *testing.T) {
	w, low, high := quiet(t)
	w.establish(low)
	old := high.x.Current()
	low.restart()
	low.dial()
	w.after(60 * time.Millisecond)
	if high.x.Current() != old {
		t.Error("replaced before it is confirmed")
	}
	w.after(time.Second)
	if err := w.agreed(); err != nil {
		t.Fatal(err)
	}
	if c := high.changes[1]; c.GoesOn || c.Replaced != old {
		t.Errorf("change %+v", c)
	}
}

func TestReplayAfterRestart(t *testing.T) {
	w, low, high := quiet(t)
	low.dial()
	recorded := w.flights[0].pkt
	w.after(time.Second)
	high.restart() // and has lost its marks
	in := read(t, high.local, recorded)
	d, err := high.x.HandleIncoming(w.now, in)
	if err != nil || d.Kind != DecideAnswer {
		t.Fatalf("decision %v, %v", d.Kind, err)
	}
	pkt, _, err := high.x.Answer(w.now, in, Accept{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := low.x.HandleResponse(w.now, pkt); err == nil {
		t.Error("the initiator took a response to an old initiation")
	}
	if high.x.Current() != nil {
		t.Error("a replay made an association current")
	}
	w.now = w.now.Add(tentativeLife)
	if e := high.x.Expire(w.now); !e.Tentative || high.x.State() != StateIdle {
		t.Errorf("%+v, state %v", e, high.x.State())
	}
	w.establish(high) // is not in the way of the true peer
}

// TestDrop: when a session has ended, so have its associations, and no others.
func TestDrop(t *testing.T) {
	w, low, high := quiet(t)
	w.establish(low)
	low.x.Drop()
	wantState(t, low, StateIdle)
	if low.x.Current() != nil || low.table.Len() != 0 {
		t.Error("the association is still there")
	}
	w.establish(low)
	if c := high.changes[1]; c.GoesOn || c.Replaced == nil {
		t.Errorf("change at the other end %+v", c)
	}
}

// TestDropKeepsRival: the association that had lost to ours serves when ours is
// dropped.
func TestDropKeepsRival(t *testing.T) {
	w, low, high := quiet(t)
	high.dial()
	w.after(55 * time.Millisecond) // low has answered
	response := w.flights[0].pkt
	w.flights = nil
	w.now = w.now.Add(holdTime)
	low.dial()
	w.after(110 * time.Millisecond) // high has answered, too, and low has it first
	if r, err := high.x.HandleResponse(w.now, response); err != nil || r.Kind != ResultEstablished {
		t.Fatal(r.Kind, err)
	}
	theirs := low.x.slots.tentative
	if theirs == nil || !theirs.rival {
		t.Fatal("no rival")
	}
	pkt := seal(t, high.x.Current(), "", w.now)
	open(t, theirs.Association, pkt, "", w.now)
	if _, ok := low.x.Confirm(w.now, theirs.Association); ok {
		t.Error("the higher id's association replaced the lower's")
	}
	low.x.Drop()
	if c, ok := low.x.Confirm(w.now, theirs.Association); !ok || c.Association != theirs.Association || c.Replaced != nil {
		t.Errorf("after Drop: %+v, %v", c, ok)
	}
}

// TestNames: each state and decision has one, for logs.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for s := StateIdle; s <= StateRenewing; s++ {
		seen[s.String()] = true
	}
	for k := DecideAnswer; k <= DecideStale; k++ {
		seen[k.String()] = true
	}
	if len(seen) != 9 || seen[""] {
		t.Errorf("names %v", seen)
	}
}

// TestHint: it does not end anything, and causes one initiation in 5 s.
func TestHint(t *testing.T) {
	w, low, high := quiet(t)
	w.establish(low)
	current := low.x.Current()
	h := wire.Hint{Receiver: current.RemoteIndex()}
	if low.x.HandleHint(w.now, wire.Hint{Receiver: h.Receiver + 1}) {
		t.Error("believed a hint for an index not in use")
	}
	if high.x.HandleHint(w.now, h) {
		t.Error("believed a hint for an index of its own")
	}
	believed := 0
	for n := range 100 {
		if low.x.HandleHint(w.now.Add(time.Duration(n)*100*time.Millisecond), h) {
			believed++
		}
	}
	if believed != 2 {
		t.Errorf("%d hints believed in 10 s", believed)
	}
	if low.x.Current() != current || low.x.State() != StateEstablished {
		t.Error("a hint changed something")
	}
	open(t, high.x.Current(), seal(t, current, "still works", w.now), "still works", w.now)
	low.begin(current.SessionID())
	if low.x.HandleHint(w.now.Add(time.Hour), h) {
		t.Error("believed a hint with an initiation under way")
	}
}

// TestWrongExchange: an initiation handed to the exchange with another.
func TestWrongExchange(t *testing.T) {
	_, low, _ := quiet(t)
	i := initiate(t, newLocal(t, 3), low.local, Offer{Index: 1})
	if _, err := low.x.HandleIncoming(start, read(t, low.local, i.Packet())); !errors.Is(err, identity.ErrWrongID) {
		t.Errorf("error %v", err)
	}
}

// TestFullTable: no index, no association, and nothing spent.
func TestFullTable(t *testing.T) {
	_, low, high := quiet(t)
	low.x.config.Indices = noIndices{}
	if _, err := low.x.Begin(start, high.local.Device(), Offer{}); !errors.Is(err, ErrFull) {
		t.Errorf("begin: %v", err)
	}
	high.dial()
	in := read(t, low.local, high.x.Packet(start))
	if _, _, err := low.x.Answer(start, in, Accept{}); !errors.Is(err, ErrFull) {
		t.Errorf("answer: %v", err)
	}
	low.x.config.Indices = low.table.For(low)
	if _, _, err := low.x.Answer(start, in, Accept{Early: make([]byte, 1000)}); !errors.Is(err, ErrTooLarge) || low.table.Len() != 0 {
		t.Errorf("answer: %v, %d indices", err, low.table.Len())
	}
	if _, _, err := low.x.Answer(start, in, Accept{}); err != nil {
		t.Errorf("answer after failures: %v", err)
	}
}

type noIndices struct{}

func (noIndices) Alloc() (uint32, error) { return 0, ErrFull }
func (noIndices) Free(uint32)            {}

// TestExchangeCookie: the packet with a cookie is the same initiation.
func TestExchangeCookie(t *testing.T) {
	_, low, high := quiet(t)
	low.dial()
	pkt := low.x.Packet(start)
	m, err := wire.ParseInitiation(pkt)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := wire.ParseCookieReply(sealCookie(newMACKey(labelCookie, high.local.ID()), [24]byte{}, [macLen]byte{1}, m.Sender, pkt))
	if err != nil {
		t.Fatal(err)
	}
	withCookie, err := low.x.HandleCookie(reply)
	if err != nil || hashInitiation(withCookie) != hashInitiation(pkt) {
		t.Errorf("packet with cookie: %v", err)
	}
}
