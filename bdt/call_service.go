package bdt

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/wire"
)

// A Question is one call of a service.
type Question struct {
	Caller Caller
	Rights Rights // that Access granted; at least one
	Data   []byte // the handler's to keep
	// Early: it came with a handshake. The answer is of use for 20 ms, and may be asked
	// for again on a stream.
	Early bool
}

// A CallHandler answers questions. It may be called concurrently. ctx ends when the
// answer is of no use any more: the time is over, the caller has gone, or the stack is
// closed; [Stack.Close] waits for it, so it must not call that. The answer is not changed
// after it returns. An error's text is sent to the
// caller, 1,024 bytes at most. A panic is logged with its stack, and the caller gets
// [ErrFailed].
type CallHandler func(ctx context.Context, q *Question) ([]byte, error)

// CallConfig says how calls of a service are answered.
type CallConfig struct {
	// Handler answers. It is needed.
	Handler CallHandler

	// Access says who may call. Nil means [OwnZone].
	Access Access

	// ReplaySafe declares that a question may be run more than once: that it changes
	// nothing, or nothing that matters. Then it may come with a handshake and be
	// answered with that, a round trip or more sooner. One copy of a handshake is run
	// once in the life of the process, and none a minute after it was asked; but its
	// sender may ask again on a stream, and a copy that was overheard may be run again
	// after a restart within that minute.
	ReplaySafe bool

	// MaxQuestion bounds a question, in bytes; no more than [MaxCall]. 0 means 64 KiB.
	MaxQuestion int

	// Timeout bounds the time for an answer. 0 means 30 s, negative means no bound.
	Timeout time.Duration

	// Concurrency bounds the questions that are answered at once, and those that are on
	// their way: of these the slowest gives way. 0 means 256.
	Concurrency int

	// PerCaller bounds both of one device, together. 0 means 16.
	PerCaller int
}

const (
	defaultMaxQuestion = 64 << 10
	defaultCallTimeout = 30 * time.Second
	defaultConcurrency = 256
	defaultPerCaller   = 16
	// answerTimeout bounds the time in which a caller takes its answer.
	answerTimeout = 30 * time.Second
	// earlyTimeout is how long a response waits for an answer (docs/spec/call.md §4).
	earlyTimeout = 20 * time.Millisecond
	// maxEarly is how many questions of handshakes are answered at once.
	maxEarly = 64
)

func (c CallConfig) withDefaults() CallConfig {
	if c.MaxQuestion == 0 {
		c.MaxQuestion = defaultMaxQuestion
	}
	if c.Timeout == 0 {
		c.Timeout = defaultCallTimeout
	}
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.PerCaller == 0 {
		c.PerCaller = defaultPerCaller
	}
	return c
}

func (c CallConfig) check() error {
	switch {
	case c.Handler == nil:
		return fmt.Errorf("no handler")
	case c.MaxQuestion < 0 || c.MaxQuestion > MaxCall:
		return fmt.Errorf("MaxQuestion is %d, at most %d", c.MaxQuestion, MaxCall)
	case c.Concurrency < 0 || c.PerCaller < 0:
		return fmt.Errorf("less than one call at a time: Concurrency is %d, PerCaller %d", c.Concurrency, c.PerCaller)
	}
	return nil
}

// A CallService answers the calls of one service.
type CallService struct {
	stack *Stack
	name  string
	cfg   CallConfig

	mu        sync.Mutex
	receiving []session.Stream    // with questions on their way, oldest first; at most Concurrency
	running   int                 // questions being answered; at most Concurrency
	perCaller map[identity.ID]int // of both; at most PerCaller each
}

// HandleCalls answers the calls of a service until it is closed. A service of the
// same name for streams has nothing to do with it.
func (s *Stack) HandleCalls(service string, cfg CallConfig) (*CallService, error) {
	cfg = cfg.withDefaults()
	err := checkService(service)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return nil, &OpError{Op: "listen", Err: err}
	}
	c := &CallService{stack: s, name: service, cfg: cfg, perCaller: make(map[identity.ID]int)}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, &OpError{Op: "listen", Err: ErrClosed}
	case s.calls[service] != nil:
		return nil, &OpError{Op: "listen", Err: ErrServiceInUse}
	}
	s.calls[service] = c
	return c, nil
}

// Close stops taking calls. Those under way are answered.
func (c *CallService) Close() error {
	c.stack.mu.Lock()
	defer c.stack.mu.Unlock()
	if c.stack.calls[c.name] == c {
		delete(c.stack.calls, c.name)
	}
	return nil
}

// enter takes one of a device's places. It reports false if there is none.
func (c *CallService) enter(id identity.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perCaller[id] >= c.cfg.PerCaller {
		return false
	}
	c.perCaller[id]++
	return true
}

func (c *CallService) leave(id identity.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.perCaller[id]--; c.perCaller[id] == 0 {
		delete(c.perCaller, id)
	}
}

// begin takes a place for a question that is there. It reports false if there is none.
func (c *CallService) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running >= c.cfg.Concurrency {
		return false
	}
	c.running++
	return true
}

func (c *CallService) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
}

// receive reads a question. Devices that begin many and end none, under as many names
// as they like, do not keep others out: there is always room for one more, at the cost
// of the one that has taken longest.
func (c *CallService) receive(stream session.Stream) ([]byte, error) {
	c.mu.Lock()
	var slowest session.Stream
	if len(c.receiving) >= c.cfg.Concurrency {
		slowest = c.receiving[0]
		c.receiving = slices.Delete(c.receiving, 0, 1)
	}
	c.receiving = append(c.receiving, stream)
	c.mu.Unlock()
	if slowest != nil {
		refuse(slowest, codeBusy)
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.Index(c.receiving, stream); i >= 0 {
			c.receiving = slices.Delete(c.receiving, i, i+1)
		}
	}()
	stream.SetReadDeadline(time.Now().Add(headerTimeout))
	return io.ReadAll(io.LimitReader(stream, int64(c.cfg.MaxQuestion)+1))
}

// admit returns the service that a caller may call, what it may, and one of its places,
// which it is to leave; or the reset code of a refusal, after the same time for a service
// that there is not as for one that refuses.
func (s *Stack) admit(caller Caller, service string) (c *CallService, r Rights, code uint64) {
	s.mu.Lock()
	c = s.calls[service]
	s.mu.Unlock()
	if c == nil {
		return nil, 0, caller.noService()
	}
	if r = c.cfg.Access.grant(caller); r == 0 {
		return nil, 0, caller.denied()
	}
	if !c.enter(caller.Device.ID()) {
		return nil, 0, codeBusy
	}
	return c, r, 0
}

// serveCall has a call on a stream answered, on a goroutine of its own once it is let
// in: until then it counts among the streams that a session may have without.
func (s *Stack) serveCall(ss *streams, stream session.Stream, service string) {
	caller := s.callerOf(ss)
	c, rights, code := s.admit(caller, service)
	if c == nil {
		refuse(stream, code)
		return
	}
	s.workers.Go(func() {
		defer c.leave(caller.Device.ID())
		c.serve(stream, caller, rights)
	})
}

// serve answers a call on a stream (docs/spec/call.md §2).
func (c *CallService) serve(stream session.Stream, caller Caller, rights Rights) {
	data, err := c.receive(stream)
	switch {
	case err != nil:
		refuse(stream, codeMalformed)
		return
	case len(data) > c.cfg.MaxQuestion:
		refuse(stream, codeTooLong)
		return
	case !c.begin():
		refuse(stream, codeBusy)
		return
	}
	defer c.finish()
	ctx, cancel := context.WithCancel(c.stack.ctx)
	defer cancel()
	gone := context.AfterFunc(stream.Context(), cancel)
	defer gone()
	if c.cfg.Timeout > 0 {
		late := time.AfterFunc(c.cfg.Timeout, func() {
			refuse(stream, codeNoAnswer)
			cancel()
		})
		defer late.Stop()
	}
	a, ok := c.run(ctx, &Question{Caller: caller, Rights: rights, Data: data})
	if !ok {
		refuse(stream, codeFailed)
		return
	}
	stream.SetWriteDeadline(time.Now().Add(answerTimeout))
	if _, err := stream.Write(append([]byte{byte(a.Status)}, a.Content...)); err != nil {
		refuse(stream, codeClosed)
		return
	}
	stream.Close()
}

// run has the handler answer. It reports false if that failed.
func (c *CallService) run(ctx context.Context, q *Question) (a wire.EarlyAnswer, ok bool) {
	defer func() {
		if v := recover(); v != nil {
			c.stack.log.Error("call panicked", "service", c.name, "caller", q.Caller.Device.ID().Short(),
				"panic", v, "stack", string(debug.Stack()))
			a, ok = wire.EarlyAnswer{}, false
		}
	}()
	answer, err := c.cfg.Handler(ctx, q)
	switch {
	case err != nil:
		return wire.EarlyAnswer{Status: wire.AnswerFailed, Content: []byte(callMessage(err.Error()))}, true
	case len(answer) > MaxCall:
		c.stack.log.Error("answer to a call is too long", "service", c.name, "bytes", len(answer), "max", MaxCall)
		return wire.EarlyAnswer{}, false
	}
	return wire.EarlyAnswer{Status: wire.AnswerGiven, Content: answer}, true
}

// callMessage makes a service's error fit to be sent and shown: UTF-8, no more than
// maxCallMessage bytes.
func callMessage(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= maxCallMessage {
		return text
	}
	n := maxCallMessage
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// AnswerEarly implements peer.Host.
func (h host) AnswerEarly(d *identity.Device, early []byte, done func([]byte)) bool {
	m, err := wire.ParseEarlyQuestion(early)
	service := string(m.Service)
	if err != nil || checkService(service) != nil {
		return false
	}
	select {
	case h.early <- struct{}{}:
	default:
		return false
	}
	data := append([]byte{}, m.Question...)
	h.Stack.work(func() {
		defer func() { <-h.early }()
		a := h.answerEarly(h.caller(d), service, data)
		if len(a.Content) > wire.MaxEarlyAnswer {
			a = wire.EarlyAnswer{Status: wire.AnswerLater}
		}
		done(a.Append(nil))
	})
	return true
}

// answerEarly answers a question of a handshake.
func (s *Stack) answerEarly(caller Caller, service string, data []byte) wire.EarlyAnswer {
	refused := func(code uint64) wire.EarlyAnswer {
		return wire.EarlyAnswer{Status: wire.AnswerRefused, Content: []byte{byte(code)}}
	}
	c, rights, code := s.admit(caller, service)
	if c == nil {
		return refused(code)
	}
	defer c.leave(caller.Device.ID())
	switch {
	case len(data) > c.cfg.MaxQuestion:
		return refused(codeTooLong)
	case !c.cfg.ReplaySafe:
		return wire.EarlyAnswer{Status: wire.AnswerLater}
	case !c.begin():
		return refused(codeBusy)
	}
	defer c.finish()
	ctx, cancel := context.WithTimeout(s.ctx, earlyTimeout)
	defer cancel()
	a, ok := c.run(ctx, &Question{Caller: caller, Rights: rights, Data: data, Early: true})
	switch {
	case !ok:
		return refused(codeFailed)
	case ctx.Err() != nil:
		return wire.EarlyAnswer{Status: wire.AnswerLater} // an error may be for want of time
	}
	return a
}
