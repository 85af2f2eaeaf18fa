package peer

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/snclient"
	"github.com/bdtnet/bdt/internal/wire"
)

// given is the early data of an answer.
func given(content string) []byte {
	m := wire.EarlyAnswer{Content: []byte(content)}
	return m.Append(nil)
}

// An asked is what came of an Ask.
type asked struct {
	answer []byte
	err    error
}

// ask asks in the background.
func (r *rig) ask(ctx context.Context, question string) <-chan asked {
	done := make(chan asked, 1)
	m := wire.EarlyQuestion{Service: []byte("s"), Question: []byte(question)}
	go func() {
		answer, err := r.p.Ask(ctx, r.hints(), m.Append(nil))
		done <- asked{answer, err}
	}()
	synctest.Wait()
	return done
}

// callsWith has the peer call through an SN, and returns what it calls with.
func (r *rig) callsWith() <-chan []byte {
	initiations := make(chan []byte, 16)
	r.use(&fakeSignaller{call: func(_ context.Context, o snclient.CallOptions) (*snclient.CallReply, error) {
		initiations <- o.Initiation
		return &snclient.CallReply{}, nil
	}})
	return initiations
}

// read opens an initiation of the peer.
func (r *rig) read(pkt []byte) *noise.Incoming {
	r.t.Helper()
	in, err := r.remote.ReadInitiation(pkt)
	if err != nil {
		r.t.Fatal(err)
	}
	return in
}

// wantQuestion checks the question in an initiation; none if it is empty.
func wantQuestion(t *testing.T, in *noise.Incoming, want string) {
	t.Helper()
	if want == "" {
		if len(in.Payload.Early) > 0 {
			t.Errorf("the initiation carries %x", in.Payload.Early)
		}
		return
	}
	m, err := wire.ParseEarlyQuestion(in.Payload.Early)
	if err != nil || string(m.Question) != want {
		t.Errorf("the initiation asks %q, %v, want %q", m.Question, err, want)
	}
}

// The question goes with the initiation, and the response brings the answer, ahead
// of the session.
func TestAsk(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.ask(context.Background(), "q")
		in := r.initiation()
		wantQuestion(t, in, "q")
		pkt, assoc := r.accept(in, noise.Accept{Early: given("a")})
		r.control(away, pkt)
		if got := <-done; string(got.answer) != string(given("a")) || got.err != nil {
			t.Errorf("got %q, %v", got.answer, got.err)
		}
		r.reply(assoc)
		r.open(0) // the session comes up all the same
		if len(r.sessions()) != 1 {
			t.Error("no session")
		}
		if got := <-r.ask(context.Background(), "q"); got.answer != nil || got.err != nil {
			t.Errorf("with a session: %q, %v", got.answer, got.err)
		}
	})
}

// A response that does not answer leaves it to the session; so does the peer's
// winning initiation.
func TestAskOnStream(t *testing.T) {
	later := wire.EarlyAnswer{Status: wire.AnswerLater}
	for name, early := range map[string][]byte{"nothing": nil, "later": later.Append(nil), "unknown": {99, 0, 0}, "cut": {0, 0, 9}} {
		t.Run(name, func(t *testing.T) {
			inRig(t, true, func(r *rig) {
				done := r.ask(context.Background(), "q")
				pkt, assoc := r.accept(r.initiation(), noise.Accept{Early: early})
				r.control(away, pkt)
				if len(done) > 0 {
					t.Fatalf("settled: %v", <-done)
				}
				r.reply(assoc)
				r.open(0)
				if got := <-done; got.answer != nil || got.err != nil {
					t.Errorf("got %q, %v", got.answer, got.err)
				}
			})
		})
	}
}

// Two questions wait: each is answered by the response to its own initiation, and
// one that was given up takes no answer and is not sent.
func TestAskInTurn(t *testing.T) {
	inRig(t, true, func(r *rig) {
		calls := r.callsWith()
		first := r.ask(context.Background(), "first")
		ctx, giveUp := context.WithCancel(context.Background())
		second := r.ask(ctx, "second")
		third := r.ask(context.Background(), "third")
		in := r.read(<-calls)
		wantQuestion(t, in, "first")
		giveUp()
		if got := <-second; !errors.Is(got.err, context.Canceled) {
			t.Errorf("given up: %v", got.err)
		}
		pkt, _ := r.accept(in, noise.Accept{Early: given("1")})
		r.control(other, pkt)
		if got := <-first; string(got.answer) != string(given("1")) {
			t.Errorf("first: %q, %v", got.answer, got.err)
		}
		if len(third) > 0 {
			t.Fatal("the third was answered with the first")
		}
		time.Sleep(questionHold) // no session comes of the keys
		synctest.Wait()
		in = r.read(<-calls)
		wantQuestion(t, in, "third")
		pkt, _ = r.accept(in, noise.Accept{Early: given("3"), GoesOn: true})
		r.control(other, pkt)
		if got := <-third; string(got.answer) != string(given("3")) {
			t.Errorf("third: %q, %v", got.answer, got.err)
		}
	})
}

// The retry above the mark of a peer that finds the stamp stale carries the question
// again, and a repetition with a cookie is the same initiation.
func TestAskAgainAboveMark(t *testing.T) {
	inRig(t, true, func(r *rig) {
		done := r.ask(context.Background(), "q")
		in := r.initiation()
		stale, err := in.Stale(in.Payload.Stamp + 1e6)
		if err != nil {
			t.Fatal(err)
		}
		r.control(away, stale)
		in = r.initiation()
		wantQuestion(t, in, "q")
		pkt, _ := r.accept(in, noise.Accept{Early: given("a")})
		r.control(away, pkt)
		if got := <-done; string(got.answer) != string(given("a")) {
			t.Errorf("got %q, %v", got.answer, got.err)
		}
	})
}

// The loser of glare keeps its question: if nothing comes of the winner's handshake
// it goes out again, and else it is for the stream.
func TestAskGlare(t *testing.T) {
	for _, confirmed := range []bool{false, true} {
		inRig(t, false, func(r *rig) {
			calls := r.callsWith()
			done := r.ask(context.Background(), "q")
			<-calls
			i := r.initiate(noise.Offer{Dialling: true})
			r.incoming(i, away)
			answer := r.response(i)
			if confirmed {
				m := wire.Probe{Token: 1}
				r.seal(answer.Association, away, m.Append(nil))
				r.open(0)
				if got := <-done; got.answer != nil || got.err != nil {
					t.Errorf("got %q, %v", got.answer, got.err)
				}
				return
			}
			in := r.read(<-calls)
			wantQuestion(t, in, "q")
			pkt, _ := r.accept(in, noise.Accept{Early: given("a")})
			r.control(away, pkt)
			if got := <-done; string(got.answer) != string(given("a")) {
				t.Errorf("got %q, %v", got.answer, got.err)
			}
		})
	}
}

// early returns the early data of the response to an initiation of the remote.
func (r *rig) earlyOf(i *noise.Initiator) string {
	r.t.Helper()
	return string(r.response(i).Payload.Early)
}

// earlyOffer is an offer with a question, as long as they are.
func earlyOffer() noise.Offer {
	m := wire.EarlyQuestion{Service: []byte("s"), Question: []byte("q")}
	return noise.Offer{Dialling: true, Early: m.Append(nil)}
}

// The response waits for the answer, 20 ms at most, and copies of the initiation
// wait with it.
func TestHeldResponse(t *testing.T) {
	for name, after := range map[string]time.Duration{"at once": 0, "in time": 19 * time.Millisecond, "too late": 21 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inRig(t, true, func(r *rig) {
				r.early = func(early []byte, done func([]byte)) {
					time.AfterFunc(after, func() { done(given("a")) })
				}
				i := r.initiate(earlyOffer())
				start := time.Now()
				r.incoming(i, away)
				r.incoming(i, other)
				for len(r.link.of(wire.TypeResponse)) == 0 {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				want, wait := string(given("a")), after
				if after > answerWait {
					want, wait = "", answerWait
				}
				if took := time.Since(start); took > wait+time.Millisecond {
					t.Errorf("responded after %v", took)
				}
				if got := r.earlyOf(i); got != want {
					t.Errorf("the response holds %q, want %q", got, want)
				}
				time.Sleep(time.Second)
			})
		})
	}
}

// An answer that would make the response longer than the initiation is left for
// the stream.
func TestEarlyDoesNotAmplify(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.early = func(_ []byte, done func([]byte)) { done(make([]byte, wire.MaxResponseEarly)) }
		m := wire.EarlyQuestion{Service: []byte("s")}
		short := m.Append(nil)[:5]
		i := r.initiate(noise.Offer{Dialling: true, Early: short})
		r.incoming(i, away)
		synctest.Wait()
		for _, s := range r.link.of(wire.TypeResponse) {
			if len(s.b) > len(i.Packet()) {
				t.Errorf("%d bytes in answer to %d", len(s.b), len(i.Packet()))
			}
		}
		later := wire.EarlyAnswer{Status: wire.AnswerLater}
		if got := r.earlyOf(i); got != string(later.Append(nil)) {
			t.Errorf("the response holds %x", got)
		}
	})
}

// A newer initiation takes the place of one that is being answered.
func TestHeldIsSuperseded(t *testing.T) {
	inRig(t, true, func(r *rig) {
		r.early = func(early []byte, done func([]byte)) {
			time.AfterFunc(10*time.Millisecond, func() { done(given("a")) })
		}
		i1, i2 := r.initiate(earlyOffer()), r.initiate(earlyOffer())
		r.incoming(i1, away)
		r.incoming(i2, away)
		time.Sleep(15 * time.Millisecond)
		synctest.Wait()
		list := r.link.of(wire.TypeResponse)
		if len(list) == 0 {
			t.Fatal("no response")
		}
		for _, s := range list {
			if _, err := i2.ReadResponse(s.b); err != nil && !errors.Is(err, noise.ErrSpent) {
				t.Errorf("a response to the older one: %v", err)
			}
		}
		time.Sleep(time.Second)
	})
}

// However often initiations are replayed, each question in them is run once at
// most: in order, backwards, while it is being answered and after.
func TestReplaysRunOnce(t *testing.T) {
	inRig(t, true, func(r *rig) {
		runs := map[string]int{}
		r.early = func(early []byte, done func([]byte)) {
			runs[string(early)]++
			done(given("a"))
		}
		var list []*noise.Initiator
		for n := range 10 {
			m := wire.EarlyQuestion{Service: []byte("s"), Question: []byte{byte(n)}}
			list = append(list, r.initiate(noise.Offer{Dialling: true, Early: m.Append(nil)}))
		}
		for range 20 {
			for n := range list {
				r.incoming(list[n], away)
				r.incoming(list[len(list)-1-n], other)
				r.link.take(wire.TypeResponse)
			}
			time.Sleep(3 * time.Second) // responses are forgotten in between
		}
		for early, n := range runs {
			if n > 1 {
				t.Errorf("%x was run %d times", bytes.TrimRight([]byte(early), "\x00"), n)
			}
		}
		if len(runs) == 0 {
			t.Error("nothing was run")
		}
	})
}
