package wire

import (
	"bytes"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// TestInvalid changes one thing in a golden that must be refused.
func TestInvalid(t *testing.T) {
	for _, tt := range []struct {
		golden string
		what   string
		change func(b []byte) []byte
		want   error
	}{
		{"Hint", "version", set(1, 2), ErrVersion},
		{"Hint", "epoch", set(2, 1), ErrValue},
		{"Hint", "epoch", set(3, 1), ErrValue},
		{"Hint", "type", set(0, byte(TypeOpener)), ErrType},
		{"Sealed", "type", set(0, byte(TypeHint)), ErrType},
		{"Sealed", "version", set(1, 0), ErrVersion},
		{"Initiation", "length", grow(MaxInitiation), ErrCount},
		{"Response", "length", grow(MaxResponse), ErrCount},
		{"Described", "device length", set(12, 0xff), ErrCount},
		{"Probe", "length", grow(68), ErrCount},
		{"Goodbye", "reason length", set(2, 129), ErrCount},
		{"Goodbye", "reason", set(3, 0xff), ErrValue},
		{"initiation payload", "engine count", set(17, 5), ErrCount},
		{"initiation payload", "engine", set(18, 0), ErrValue},
		{"response payload", "kind", set(0, 0), ErrValue},
		{"response payload", "kind", set(0, 4), ErrValue},
		{"response payload", "stale with more than a stamp", set(0, 2), ErrValue},
		{"stale payload", "flag", set(1, 1), ErrValue},
		{"stale payload", "flag", set(1, 2), ErrValue},
		{"stale payload", "engine", set(10, 1), ErrValue},
		{"response payload", "refused with binary", func(b []byte) []byte {
			b[0], b[len(b)-1] = 3, 0xff
			return b
		}, ErrValue},
		{"Candidates", "count", set(1, 9), ErrCount},
		{"Candidates", "kind", set(2, 0), ErrValue},
		{"Candidates", "address length", set(3, 5), ErrValue},
		{"Register", "visibility", set(13, 3), ErrValue},
		{"CallReply", "shared", set(10, 2), ErrValue},
		{"Call", "relay length", set(37+29, 47), ErrValue},
		{"Call", "initiation length", set(37+29+49, 0xff), ErrCount},
		{"Called", "kind", set(46+29+49, 3), ErrValue},
		{"Called", "nothing in it", func(b []byte) []byte { return append(b[:46+29+49+1], 0, 0) }, ErrValue},
		{"Signal", "packet length", set(33, 0xff), ErrCount},
		{"Relayed", "epoch", set(3, 1), ErrValue},
		{"Relayed", "type", set(0, byte(TypeHint)), ErrType},
		{"Bind", "token length", set(54, 161), ErrCount},
		{"relay token payload", "version", set(0, 2), ErrValue},
		{"Publish", "object length", set(5, 0xff), ErrCount},
		{"Found", "object length", set(6, 0xff), ErrCount},
	} {
		g := goldenOf(t, tt.golden)
		if _, err := g.parse(tt.change(g.bytes())); !errors.Is(err, tt.want) {
			t.Errorf("%s: %s: error %v, want %v", tt.golden, tt.what, err, tt.want)
		}
	}
}

// set returns a change of one byte, grow one to one byte more than limit.
func set(at int, v byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b[at] = v
		return b
	}
}

func grow(limit int) func([]byte) []byte {
	return func(b []byte) []byte { return append(b, make([]byte, limit+1-len(b))...) }
}

// goldenOf returns the first golden of a name.
func goldenOf(t testing.TB, name string) *golden {
	for i := range goldens {
		if goldens[i].name == name {
			return &goldens[i]
		}
	}
	t.Fatalf("no golden %q", name)
	return nil
}

// TestIgnored changes what a later version may use, and this one must not mind.
func TestIgnored(t *testing.T) {
	for _, tt := range []struct {
		golden string
		change func(b []byte) []byte
	}{
		{"initiation payload", set(0, 0xff)},                    // flags
		{"response payload", set(1, 0xff)},                      // flags
		{"stale payload", set(1, 0xfc)},                         // flags
		{"Bind", set(5, 0xff)},                                  // flags
		{"Bound", set(6, 0xff)},                                 // flags
		{"Probe", set(9, 0xff)},                                 // flags
		{"Probe", set(27, 0xff)},                                // padding
		{"Probe", func(b []byte) []byte { return grow(67)(b) }}, // padding
		{"Pong", set(5, 0xff)},                                  // flags
		{"Describe", set(699, 0xff)},                            // padding
		{"Opener", grow(MaxPacket)},
	} {
		g := goldenOf(t, tt.golden)
		if got, err := g.parse(tt.change(g.bytes())); err != nil || !reflect.DeepEqual(got, g.msg) {
			t.Errorf("%s: %+v, %v", tt.golden, got, err)
		}
	}
}

// TestLimits checks that each variable field may reach its limit, and not pass
// it.
func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		field string
		limit int
		msg   func(p []byte) message
		parse func([]byte) (message, error)
	}{
		{"Described.Device", 560, func(p []byte) message { return &Described{Device: p} }, parser(ParseDescribed)},
		{"InitiationPayload.Device", 560, func(p []byte) message { return &InitiationPayload{Device: p} }, parser(ParseInitiationPayload)},
		{"InitiationPayload.Early", 187, func(p []byte) message { return &InitiationPayload{Early: p} }, parser(ParseInitiationPayload)},
		{"ResponsePayload.Device", 560, func(p []byte) message { return &ResponsePayload{Kind: 1, Device: p} }, parser(ParseResponsePayload)},
		{"ResponsePayload.Early", 305, func(p []byte) message { return &ResponsePayload{Kind: 1, Early: p} }, parser(ParseResponsePayload)},
		{"Register.Device", 560, func(p []byte) message { return &Register{Device: p} }, parser(ParseRegister)},
		{"Found.Object", 1100, func(p []byte) message { return &Found{Object: p} }, parser(ParseFound)},
		{"Publish.Object", 1100, func(p []byte) message { return &Publish{Object: p} }, parser(ParsePublish)},
		{"Call.Initiation", 909, func(p []byte) message { return &Call{Initiation: p} }, parser(ParseCall)},
		{"CallReply.Device", 560, func(p []byte) message { return &CallReply{Device: p} }, parser(ParseCallReply)},
		{"Called.Initiation", 909, func(p []byte) message { return &Called{Initiation: p} }, parser(ParseCalled)},
		{"Called.Device", 560, func(p []byte) message { return &Called{Device: p} }, parser(ParseCalled)},
		{"Signal.Packet", 1133, func(p []byte) message { return &Signal{Packet: p} }, parser(ParseSignal)},
		{"Signalled.Packet", 1133, func(p []byte) message { return &Signalled{Packet: p} }, parser(ParseSignalled)},
	} {
		m := tt.msg(fill(1, tt.limit))
		if got, err := tt.parse(m.Append(nil)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s of %d bytes: %v", tt.field, tt.limit, err)
		}
		if _, err := tt.parse(tt.msg(fill(1, tt.limit+1)).Append(nil)); !errors.Is(err, ErrCount) {
			t.Errorf("%s of %d bytes: error %v", tt.field, tt.limit+1, err)
		}
	}
}

func TestAddr(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"192.0.2.1:1", "192.0.2.1:1"},
		{"127.0.0.1:1", "127.0.0.1:1"},
		{"[2001:db8::1]:65535", "[2001:db8::1]:65535"},
		{"[::ffff:192.0.2.1]:1", "192.0.2.1:1"}, // as a dual-stack socket shows it
		{"[fe80::1%eth0]:1", "[fe80::1]:1"},
		{"192.0.2.1:0", ""},
		{"0.0.0.0:1", ""},
		{"[::]:1", ""},
		{"224.0.0.1:1", ""},
		{"[ff02::1]:1", ""},
	} {
		m := ProbeReply{Observed: netip.MustParseAddrPort(tt.addr)}
		got, err := ParseProbeReply(m.Append(nil))
		if tt.want == "" {
			if !errors.Is(err, ErrValue) {
				t.Errorf("%s: error %v", tt.addr, err)
			}
		} else if err != nil || got.Observed.String() != tt.want {
			t.Errorf("%s: %v, %v", tt.addr, got.Observed, err)
		}
	}

	// What Append cannot send, but others may.
	mapped := append([]byte{byte(MsgProbeReply), 8: 0}, 16)
	mapped = append(mapped, netip.MustParseAddr("::ffff:192.0.2.1").AsSlice()...)
	if _, err := ParseProbeReply(append(mapped, 1, 0xbb)); !errors.Is(err, ErrValue) {
		t.Errorf("a mapped address: error %v", err)
	}
	// The zero AddrPort is the caller's mistake, and must not pass for an address.
	if _, err := ParseProbeReply((&ProbeReply{}).Append(nil)); !errors.Is(err, ErrValue) {
		t.Errorf("no address: error %v", err)
	}
	for n := range 256 {
		b := append([]byte{byte(MsgProbeReply), 8: 0}, byte(n))
		b = append(b, fill(1, n+2)...)
		if _, err := ParseProbeReply(b); (err == nil) != (n == 4 || n == 16) {
			t.Errorf("address of %d bytes: error %v", n, err)
		}
	}
}

// TestCandidatesUnknownKind checks that a candidate of a later version does not
// cost the others.
func TestCandidatesUnknownKind(t *testing.T) {
	sent := Candidates{[]Candidate{{7, addr4}, {CandidateHost, addr6}, {255, addr4}}}
	got, err := ParseCandidates(sent.Append(nil))
	if want := []Candidate{{CandidateHost, addr6}}; err != nil || !reflect.DeepEqual(got.List, want) {
		t.Errorf("got %v, %v, want %v", got.List, err, want)
	}
	sent = Candidates{[]Candidate{{7, netip.AddrPortFrom(addr4.Addr(), 0)}}}
	if _, err := ParseCandidates(sent.Append(nil)); !errors.Is(err, ErrValue) {
		t.Errorf("of an unknown kind, port 0: error %v", err)
	}
}

func TestDurations(t *testing.T) {
	for _, tt := range []struct{ sent, micros, seconds time.Duration }{
		{-time.Second, 0, 0},
		{1999 * time.Nanosecond, time.Microsecond, 0},
		{1999 * time.Millisecond, 1999 * time.Millisecond, time.Second},
		{math.MaxInt64, math.MaxUint32 * time.Microsecond, math.MaxUint16 * time.Second},
	} {
		ping, err1 := ParsePing((&Ping{RTT: tt.sent}).Append(nil))
		registered, err2 := ParseRegistered((&Registered{Observed: addr4, Interval: tt.sent}).Append(nil))
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if ping.RTT != tt.micros || registered.Interval != tt.seconds {
			t.Errorf("%v becomes %v and %v, want %v and %v",
				tt.sent, ping.RTT, registered.Interval, tt.micros, tt.seconds)
		}
	}
}

// TestGoodbyeCut checks that a long reason is cut between characters.
func TestGoodbyeCut(t *testing.T) {
	for pad := range 4 {
		reason := strings.Repeat("x", pad) + strings.Repeat("€", 100) // 3 bytes each
		got, err := ParseGoodbye((&Goodbye{Reason: reason}).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		n := len(got.Reason)
		if !utf8.ValidString(got.Reason) || !strings.HasPrefix(reason, got.Reason) || n > MaxReason || n <= MaxReason-3 {
			t.Errorf("cut to %d bytes: %q", n, got.Reason)
		}
	}
	// Not UTF-8 at all: cut short, never out of range.
	b := (&Goodbye{Reason: string(fill(0x80, 200))}).Append(nil)
	if want := []byte{byte(MsgGoodbye), 0, 0}; !bytes.Equal(b, want) {
		t.Errorf("continuation bytes: %x", b)
	}
}
