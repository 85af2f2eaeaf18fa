package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// message is what all the messages are.
type message interface{ Append(b []byte) []byte }

// parser gives all the Parse functions one type.
func parser[T any, P interface {
	*T
	message
}](parse func([]byte) (T, error)) func([]byte) (message, error) {
	return func(b []byte) (message, error) {
		m, err := parse(b)
		return P(&m), err
	}
}

// golden is a message and its encoding, written by hand from the spec.
type golden struct {
	name  string
	msg   message
	parse func([]byte) (message, error)
	hex   []string
	// rest is the number of bytes that must follow what Append writes.
	rest int
	// padded is the length from which on bytes are padding; 0: none.
	padded int
	// open: the length of a field is what the packet leaves to it.
	open bool
}

func (g *golden) bytes() []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Join(g.hex, ""), " ", ""))
	if err != nil {
		panic(g.name + ": " + err.Error())
	}
	return append(b, make([]byte, g.rest)...)
}

// fill returns n bytes of v, and rep the same in hex.
func fill(v byte, n int) []byte { return bytes.Repeat([]byte{v}, n) }
func rep(v byte, n int) string  { return hex.EncodeToString(fill(v, n)) }

var (
	id1   = identity.ID(fill(0x1d, 32))
	addr4 = netip.MustParseAddrPort("192.0.2.1:443")
	addr6 = netip.MustParseAddrPort("[2001:db8::1]:65535")
	list  = []Candidate{{CandidateHost, addr4}, {CandidateMapped, addr6}}
	relay = &Relay{PN: identity.ID(fill(0x2e, 32)), Tag: [16]byte(fill(0x3f, 16))}
)

const (
	hex4    = "04 c0000201 01bb"
	hex6    = "10 20010db8000000000000000000000001 ffff"
	hexList = "02 01" + hex4 + "05" + hex6
)

var (
	hexID    = rep(0x1d, 32)
	hexRelay = "30" + rep(0x2e, 32) + rep(0x3f, 16)
)

var goldens = []golden{{
	name:  "Initiation",
	msg:   &Initiation{0x01020304, fill(0xa1, 96), [16]byte(fill(0xb1, 16)), [16]byte(fill(0xb2, 16))},
	parse: parser(ParseInitiation),
	hex:   []string{"20 01 0000 01020304", rep(0xa1, 96), rep(0xb1, 16), rep(0xb2, 16)},
	open:  true,
}, {
	name:  "Response",
	msg:   &Response{0x01020304, 0x05060708, fill(0xa1, 48), [16]byte(fill(0xb1, 16)), [16]byte(fill(0xb2, 16))},
	parse: parser(ParseResponse),
	hex:   []string{"21 01 0000 01020304 05060708", rep(0xa1, 48), rep(0xb1, 16), rep(0xb2, 16)},
	open:  true,
}, {
	name:  "CookieReply",
	msg:   &CookieReply{0x01020304, [24]byte(fill(0xa1, 24)), [32]byte(fill(0xa2, 32))},
	parse: parser(ParseCookieReply),
	hex:   []string{"22 01 0000 01020304", rep(0xa1, 24), rep(0xa2, 32)},
}, {
	name:  "Sealed",
	msg:   &SealedHeader{0x0102, 0x03040506, 0x0708090a0b0c0d0e},
	parse: parser(ParseSealedHeader),
	hex:   []string{"23 01 0102 03040506 0708090a0b0c0d0e"},
	rest:  16, padded: 32,
}, {
	name:  "Describe",
	msg:   &Describe{[8]byte(fill(0xa1, 8)), id1},
	parse: parser(ParseDescribe),
	hex:   []string{"24 01 0000", rep(0xa1, 8), hexID, rep(0, 700-44)}, padded: 700,
}, {
	name:  "Described",
	msg:   &Described{[8]byte(fill(0xa1, 8)), []byte("device")},
	parse: parser(ParseDescribed),
	hex:   []string{"25 01 0000", rep(0xa1, 8), "0006 646576696365"},
}, {
	name:  "Hint",
	msg:   &Hint{0x01020304},
	parse: parser(ParseHint),
	hex:   []string{"26 01 0000 01020304"},
}, {
	name:  "Opener",
	msg:   &Opener{[4]byte{1, 2, 3, 4}},
	parse: parser(ParseOpener),
	hex:   []string{"27 01 0000 01020304"}, padded: 8,
}, {
	name:  "Query",
	msg:   &Query{[16]byte(fill(0xa1, 16)), [16]byte(fill(0xa2, 16)), []netip.AddrPort{addr4}},
	parse: parser(ParseQuery),
	hex:   []string{"28 01 0000", rep(0xa1, 16), rep(0xa2, 16), "01", hex4},
}, {
	name:  "Announce",
	msg:   &Announce{[16]byte(fill(0xa1, 16)), [16]byte(fill(0xa2, 16)), []netip.AddrPort{addr4, addr6}},
	parse: parser(ParseAnnounce),
	hex:   []string{"29 01 0000", rep(0xa1, 16), rep(0xa2, 16), "02", hex4, hex6},
}, {
	name: "initiation payload",
	msg: &InitiationPayload{true, 0x0102030405060708, 0x1112131415161718,
		[]Engine{EngineNQUIC, EngineQUIC, 99}, []byte("device"), []byte("hi")},
	parse: parser(ParseInitiationPayload),
	hex:   []string{"01 0102030405060708 1112131415161718 03 020163 0006 646576696365 0002 6869"},
}, {
	name:  "initiation payload",
	msg:   &InitiationPayload{},
	parse: parser(ParseInitiationPayload),
	hex:   []string{"00", rep(0, 16), "00 0000 0000"},
}, {
	name: "response payload",
	msg: &ResponsePayload{ResponseAccept, true, true, 0x0102030405060708, EngineYamux,
		[]byte("device"), list, []byte("hi")},
	parse: parser(ParseResponsePayload),
	hex:   []string{"01 03 0102030405060708 03 0006 646576696365", hexList, "0002 6869"},
}, {
	name:  "stale payload",
	msg:   &ResponsePayload{Kind: ResponseStale, Stamp: 0x0102030405060708},
	parse: parser(ParseResponsePayload),
	hex:   []string{"02 00 0102030405060708 00 0000 00 0000"},
}, {
	name:  "response payload",
	msg:   &ResponsePayload{Kind: ResponseRefused, Early: []byte("nö")},
	parse: parser(ParseResponsePayload),
	hex:   []string{"03 00", rep(0, 8), "00 0000 00 0003 6ec3b6"},
}, {
	name:   "early question payload",
	msg:    &EarlyQuestion{[]byte("time"), []byte("now?")},
	parse:  parser(ParseEarlyQuestion),
	hex:    []string{"01 04 74696d65 0004 6e6f773f", rep(0, 175)},
	padded: 12,
}, {
	name:   "early question payload",
	msg:    &EarlyQuestion{},
	parse:  parser(ParseEarlyQuestion),
	hex:    []string{"01 00 0000", rep(0, 183)},
	padded: 4,
}, {
	name:  "early answer payload",
	msg:   &EarlyAnswer{AnswerGiven, []byte("noon")},
	parse: parser(ParseEarlyAnswer),
	hex:   []string{"00 0004 6e6f6f6e"},
}, {
	name:  "early answer payload",
	msg:   &EarlyAnswer{AnswerFailed, []byte("nö")},
	parse: parser(ParseEarlyAnswer),
	hex:   []string{"01 0003 6ec3b6"},
}, {
	name:  "early answer payload",
	msg:   &EarlyAnswer{AnswerRefused, []byte{4}},
	parse: parser(ParseEarlyAnswer),
	hex:   []string{"02 0001 04"},
}, {
	name:  "early answer payload",
	msg:   &EarlyAnswer{Status: AnswerLater},
	parse: parser(ParseEarlyAnswer),
	hex:   []string{"03 0000"},
}, {
	name:  "Probe",
	msg:   &Probe{0x0102030405060708, true},
	parse: parser(ParseProbe),
	hex:   []string{"01 0102030405060708 01", rep(0, 18)}, padded: 10,
}, {
	name:  "ProbeReply",
	msg:   &ProbeReply{0x0102030405060708, addr6},
	parse: parser(ParseProbeReply),
	hex:   []string{"02 0102030405060708", hex6},
}, {
	name:  "Sounding",
	msg:   &Sounding{0x0102030405060708, true},
	parse: parser(ParseSounding),
	hex:   []string{"05 0102030405060708 01", rep(0, 1158)},
}, {
	name:  "Goodbye",
	msg:   &Goodbye{7, "bye"},
	parse: parser(ParseGoodbye),
	hex:   []string{"03 07 03 627965"},
}, {
	name:  "Candidates",
	msg:   &Candidates{list},
	parse: parser(ParseCandidates),
	hex:   []string{"04", hexList},
}, {
	name:  "Ping",
	msg:   &Ping{0x01020304, 0x1112131415161718, 20 * time.Millisecond},
	parse: parser(ParsePing),
	hex:   []string{"10 01020304 1112131415161718 00004e20"},
}, {
	name:  "Pong",
	msg:   &Pong{0x01020304, true, addr4},
	parse: parser(ParsePong),
	hex:   []string{"11 01020304 01", hex4},
}, {
	name:  "Register",
	msg:   &Register{0x01020304, 0x1112131415161718, VisibleNobody, list, []byte("device")},
	parse: parser(ParseRegister),
	hex:   []string{"12 01020304 1112131415161718 02", hexList, "0006 646576696365"},
}, {
	name:  "Registered",
	msg:   &Registered{0x01020304, StatusSuperseded, addr4, 25 * time.Second},
	parse: parser(ParseRegistered),
	hex:   []string{"13 01020304 07", hex4, "0019"},
}, {
	name:  "Lookup",
	msg:   &Lookup{0x01020304, id1},
	parse: parser(ParseLookup),
	hex:   []string{"14 01020304", hexID},
}, {
	name:  "Found",
	msg:   &Found{0x01020304, StatusOK, []byte("object")},
	parse: parser(ParseFound),
	hex:   []string{"15 01020304 00 0006 6f626a656374"},
}, {
	name:  "Publish",
	msg:   &Publish{0x01020304, []byte("object")},
	parse: parser(ParsePublish),
	hex:   []string{"16 01020304 0006 6f626a656374"},
}, {
	name:  "Published",
	msg:   &Published{0x01020304, StatusTooOld},
	parse: parser(ParsePublished),
	hex:   []string{"17 01020304 05"},
}, {
	name:  "Call",
	msg:   &Call{0x01020304, id1, list, relay, []byte("initiation")},
	parse: parser(ParseCall),
	hex:   []string{"18 01020304", hexID, hexList, hexRelay, "000a 696e6974696174696f6e"},
}, {
	name:  "Call",
	msg:   &Call{Request: 0x01020304, Callee: id1},
	parse: parser(ParseCall),
	hex:   []string{"18 01020304", hexID, "00 00 0000"},
}, {
	name:  "CallReply",
	msg:   &CallReply{0x01020304, StatusOK, 15 * time.Millisecond, true, list, []byte("device")},
	parse: parser(ParseCallReply),
	hex:   []string{"19 01020304 00 00003a98 01", hexList, "0006 646576696365"},
}, {
	name: "Called",
	msg: &Called{0x0102030405060708, id1, 15 * time.Millisecond, true, list, relay,
		[]byte("initiation"), nil},
	parse: parser(ParseCalled),
	hex: []string{"1a 0102030405060708", hexID, "00003a98 01", hexList, hexRelay,
		"01 000a 696e6974696174696f6e"},
}, {
	name:  "Called",
	msg:   &Called{Call: 0x0102030405060708, Caller: id1, Device: []byte("device")},
	parse: parser(ParseCalled),
	hex:   []string{"1a 0102030405060708", hexID, "00000000 00 00 00 02 0006 646576696365"},
}, {
	name:  "CalledAck",
	msg:   &CalledAck{0x0102030405060708},
	parse: parser(ParseCalledAck),
	hex:   []string{"1b 0102030405060708"},
}, {
	name:  "Signal",
	msg:   &Signal{id1, []byte("packet")},
	parse: parser(ParseSignal),
	hex:   []string{"1c", hexID, "0006 7061636b6574"},
}, {
	name:  "Signalled",
	msg:   &Signalled{id1, []byte("packet")},
	parse: parser(ParseSignalled),
	hex:   []string{"1d", hexID, "0006 7061636b6574"},
}, {
	name:  "Challenge",
	msg:   &Challenge{0x0102030405060708},
	parse: parser(ParseChallenge),
	hex:   []string{"1e 0102030405060708"},
}, {
	name:  "ChallengeReply",
	msg:   &ChallengeReply{0x0102030405060708},
	parse: parser(ParseChallengeReply),
	hex:   []string{"1f 0102030405060708"},
}, {
	name:  "Notice",
	msg:   &Notice{NoticeDraining},
	parse: parser(ParseNotice),
	hex:   []string{"20 02"},
}, {
	name:  "LookupPart",
	msg:   &LookupPart{0x01020304, id1, 0x44c},
	parse: parser(ParseLookupPart),
	hex:   []string{"24 01020304", hexID, "0000044c"},
}, {
	name:  "FoundPart",
	msg:   &FoundPart{0x01020304, StatusOK, Part{0x3000, 0x44c, fill(0xd1, 5)}},
	parse: parser(ParseFoundPart),
	hex:   []string{"25 01020304 00 00003000 0000044c 0005", rep(0xd1, 5)},
}, {
	name:  "PublishPart",
	msg:   &PublishPart{0x01020304, Part{0x451, 0x44c, fill(0xd1, 5)}},
	parse: parser(ParsePublishPart),
	hex:   []string{"26 01020304 00000451 0000044c 0005", rep(0xd1, 5)},
}, {
	name:  "Relayed",
	msg:   &Relayed{Tag(fill(0xa1, 16)), []byte{0x7f}},
	parse: parser(ParseRelayed),
	hex:   []string{"2a 01 0000", rep(0xa1, 16), "7f"},
	open:  true,
}, {
	name:  "Bind",
	msg:   &Bind{0x01020304, true, Tag(fill(0xa1, 16)), id1, []byte("token")},
	parse: parser(ParseBind),
	hex:   []string{"30 01020304 01", rep(0xa1, 16), hexID, "05 746f6b656e"},
}, {
	name:  "Bound",
	msg:   &Bound{0x01020304, StatusTooMany, true, Tag(fill(0xa1, 16)), 300 * time.Second},
	parse: parser(ParseBound),
	hex:   []string{"31 01020304 03 01", rep(0xa1, 16), "012c"},
}, {
	name:  "Unbind",
	msg:   &Unbind{Tag(fill(0xa1, 16))},
	parse: parser(ParseUnbind),
	hex:   []string{"32", rep(0xa1, 16)},
}, {
	name:  "Unbound",
	msg:   &Unbound{Tag(fill(0xa1, 16)), UnboundQuota},
	parse: parser(ParseUnbound),
	hex:   []string{"33", rep(0xa1, 16), "04"},
}, {
	name:  "relay token payload",
	msg:   &RelayToken{id1, identity.ID(fill(0x2e, 32)), 0x0102030405060708, 0x1112131415161718, [64]byte(fill(0xc1, 64))},
	parse: parser(ParseRelayToken),
	hex:   []string{"01", hexID, rep(0x2e, 32), "0102030405060708 1112131415161718", rep(0xc1, 64)},
}}

// forGoldens runs f for each golden.
func forGoldens(t *testing.T, f func(t *testing.T, g golden, want []byte)) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) { f(t, g, g.bytes()) })
	}
}

// TestGoldensComplete checks that no message of the registry lacks a golden.
func TestGoldensComplete(t *testing.T) {
	have := make(map[string]bool)
	for _, g := range goldens {
		have[g.name] = true
	}
	for v := range 256 {
		if ty := Type(v); ty.known() && !have[ty.String()] {
			t.Errorf("no golden of %v", ty)
		}
		if ty := MessageType(v); ty.known() && !have[ty.String()] {
			t.Errorf("no golden of %v", ty)
		}
	}
}

func TestAppend(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, want []byte) {
		want = want[:len(want)-g.rest]
		if got := g.msg.Append(nil); !bytes.Equal(got, want) {
			t.Errorf("Append gives\n%x, want\n%x", got, want)
		}
		// A prefix stays, and what the spare capacity held does not show.
		dirty := append([]byte("prefix"), fill(0xff, MaxPacket)...)[:len("prefix")]
		got, ok := bytes.CutPrefix(g.msg.Append(dirty), []byte("prefix"))
		if !ok || !bytes.Equal(got, want) {
			t.Errorf("Append to a prefix gives\n%x, want\n%x", got, want)
		}
	})
}

func TestParse(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		got, err := g.parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, g.msg) {
			t.Errorf("got  %+v\nwant %+v", got, g.msg)
		}
	})
}

// TestParseCut cuts each golden at every byte. What is cut off may only be padding.
func TestParseCut(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		for n := range b {
			got, err := g.parse(b[:n])
			if g.padded > 0 && n >= g.padded {
				if err != nil || !reflect.DeepEqual(got, g.msg) {
					t.Fatalf("cut to %d bytes: %+v, %v", n, got, err)
				}
				continue
			}
			if !errors.Is(err, ErrShort) {
				t.Fatalf("cut to %d of %d bytes: error %v", n, len(b), err)
			}
			if zero := reflect.New(reflect.TypeOf(g.msg).Elem()).Interface(); !reflect.DeepEqual(got, zero) {
				t.Fatalf("cut to %d bytes: an error and %+v", n, got)
			}
		}
	})
}

func TestParseTrailing(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		for v := range 256 {
			got, err := g.parse(append(b[:len(b):len(b)], byte(v)))
			switch {
			case g.open:
				if err != nil || reflect.DeepEqual(got, g.msg) {
					t.Fatalf("one byte more: %+v, %v", got, err)
				}
			case g.padded > 0:
				if err != nil || !reflect.DeepEqual(got, g.msg) {
					t.Fatalf("one byte of padding more: %+v, %v", got, err)
				}
			case !errors.Is(err, ErrTrailing):
				t.Fatalf("trailing byte %#x: error %v", v, err)
			}
		}
	})
}

// TestParseFlipped puts every value into every byte.
func TestParseFlipped(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		for i, was := range b {
			for v := range 256 {
				b[i] = byte(v)
				checkStable(t, &g, b)
			}
			b[i] = was
		}
	})
}

// checkStable checks that b is refused, or means the same when it is encoded
// again.
func checkStable(t *testing.T, g *golden, b []byte) {
	t.Helper()
	m, err := g.parse(b)
	if err != nil {
		return
	}
	again := m.Append(nil)
	if len(again) > max(len(b), DescribeLen) {
		t.Fatalf("%x\nparses, and grows to\n%x", b, again)
	}
	m2, err := g.parse(append(again, make([]byte, g.rest)...))
	if err != nil {
		t.Fatalf("%x\nparses, but encoded again\n%x\ngives %v", b, again, err)
	}
	if !reflect.DeepEqual(m, m2) {
		t.Fatalf("%x\nparses as\n%+v, and encoded again as\n%+v", b, m, m2)
	}
}

// TestParseOtherType hands each message to each other's parser. A payload has no
// type, and may look like anything.
func TestParseOtherType(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		if strings.HasSuffix(g.name, "payload") {
			return
		}
		for _, other := range goldens {
			if strings.HasSuffix(other.name, "payload") || other.name == g.name {
				continue
			}
			if _, err := other.parse(b); err == nil {
				t.Errorf("parses as %s", other.name)
			}
		}
	})
}

// TestParseAliases checks that byte fields alias the input, as documented, but
// cannot grow over what follows.
func TestParseAliases(t *testing.T) {
	forGoldens(t, func(t *testing.T, g golden, b []byte) {
		m, err := g.parse(b)
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.ValueOf(m).Elem()
		for i := range v.NumField() {
			p, ok := v.Field(i).Interface().([]byte)
			if !ok || len(p) == 0 {
				continue
			}
			if cap(p) != len(p) {
				t.Errorf("%s has spare capacity in the input", v.Type().Field(i).Name)
			}
			was := p[0]
			for j := range b {
				b[j] ^= 0xff
			}
			if p[0] != was^0xff {
				t.Errorf("%s does not alias the input", v.Type().Field(i).Name)
			}
			for j := range b {
				b[j] ^= 0xff
			}
		}
	})
}
