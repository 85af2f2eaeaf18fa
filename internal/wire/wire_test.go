package wire

import (
	"errors"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestSpecTypes holds the registry against the tables of the spec, both ways.
func TestSpecTypes(t *testing.T) {
	spec, err := os.ReadFile("../../docs/spec/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?m)^## (\d)|^\| ` + "`0x([0-9a-f]{2})`" + ` \| (\w+) \|`)
	control, sealed := make(map[Type]string), make(map[MessageType]string)
	now := ""
	for _, m := range section.FindAllStringSubmatch(string(spec), -1) {
		if m[1] != "" {
			now = m[1]
			continue
		}
		v, err := strconv.ParseUint(m[2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		switch now {
		case "2":
			control[Type(v)] = m[3]
		case "5", "6", "8":
			sealed[MessageType(v)] = m[3]
		}
	}
	for v := range 256 {
		if ty := Type(v); ty.known() != (control[ty] != "") || ty.known() && control[ty] != ty.String() {
			t.Errorf("control packet %#x is %v here, %q in the spec", v, ty, control[ty])
		}
		if ty := MessageType(v); ty.known() != (sealed[ty] != "") || ty.known() && sealed[ty] != ty.String() {
			t.Errorf("message %#x is %v here, %q in the spec", v, ty, sealed[ty])
		}
	}
}

// TestBudgets holds the largest messages against the table of the spec (§7).
func TestBudgets(t *testing.T) {
	full := make([]Candidate, MaxCandidates)
	for i := range full {
		full[i] = Candidate{CandidateHost, addr6}
	}
	device := make([]byte, MaxDevice)
	initiation := func(early int) []byte {
		p := InitiationPayload{Engines: []Engine{1, 2, 3, 4}, Device: device, Early: make([]byte, early)}
		m := Initiation{Noise: make([]byte, 32+48+16+len(p.Append(nil)))}
		return m.Append(nil)
	}
	response := func(early int) []byte {
		p := ResponsePayload{Device: device, Candidates: full, Early: make([]byte, early)}
		m := Response{Noise: make([]byte, 32+16+len(p.Append(nil)))}
		return m.Append(nil)
	}
	sealed := func(m message) int { return SealedOverhead + len(m.Append(nil)) }
	called := func(early int) int {
		return sealed(&Called{Candidates: full, Relay: relay, Initiation: initiation(early)})
	}
	for _, tt := range []struct {
		name      string
		got, want int
	}{
		{"Initiation", len(initiation(0)), 722},
		{"Initiation, early data", len(initiation(MaxInitiationEarly)), MaxInitiation},
		{"Response", len(response(0)), 828},
		{"Response, early data", len(response(MaxResponseEarly)), MaxResponse},
		{"CookieReply", len((&CookieReply{}).Append(nil)), 64},
		{"Call with Initiation", sealed(&Call{Candidates: full, Relay: relay, Initiation: initiation(0)}), 1003},
		{"Called with Initiation", called(0), 1013},
		{"Called with Initiation, early data", called(MaxInitiationEarly), MaxPacket},
		{"CallReply", sealed(&CallReply{Candidates: full, Device: device}), 766},
		{"Signal of a Response", sealed(&Signal{Packet: response(0)}), 895},
		{"Signal of a Response, early data", sealed(&Signal{Packet: response(MaxResponseEarly)}), MaxPacket},
		{"Signalled", sealed(&Signalled{Packet: make([]byte, MaxSignal)}), MaxPacket},
		{"Register", sealed(&Register{Candidates: full, Device: device}), 769},
		{"Publish", sealed(&Publish{Object: make([]byte, MaxObject)}), 1139},
		{"Found", sealed(&Found{Object: make([]byte, MaxObject)}), 1140},
		{"PublishPart", sealed(&PublishPart{Part: Part{MaxStored, 0, make([]byte, MaxObject)}}), 1147},
		{"FoundPart", sealed(&FoundPart{Part: Part{MaxStored, 0, make([]byte, MaxObject)}}), 1148},
		{"Describe", len((&Describe{}).Append(nil)), 700},
		{"Described", len((&Described{Device: device}).Append(nil)), 574},
		{"Candidates", len((&Candidates{full}).Append(nil)), 162},
		{"Announce", len((&Announce{Addrs: []netip.AddrPort{addr6, addr6, addr6, addr6}}).Append(nil)), 113},
		{"Probe", len((&Probe{}).Append(nil)), 28},
		{"ProbeReply", len((&ProbeReply{Observed: addr6}).Append(nil)), 28},
		{"Sounding", sealed(&Sounding{}), MaxPacket},
		{"Relayed", len((&Relayed{Packet: make([]byte, MaxPacket)}).Append(nil)), MaxPacket + 20},
		{"Bind", sealed(&Bind{Token: make([]byte, MaxToken)}), 247},
		{"Bound", sealed(&Bound{}), 57},
		{"RelayToken", len((&RelayToken{}).Append(nil)), 145},
		{"Goodbye", len((&Goodbye{Reason: string(make([]byte, 200))}).Append(nil)), 131},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d bytes, want %d", tt.name, tt.got, tt.want)
		}
		if tt.got > MaxPacket && tt.name != "Relayed" {
			t.Errorf("%s: does not fit a packet", tt.name)
		}
	}
}

func TestControlType(t *testing.T) {
	least := map[Type]int{
		TypeInitiation: 136, TypeResponse: 92, TypeCookieReply: 64, TypeSealed: 32,
		TypeDescribe: 700, TypeDescribed: 14, TypeHint: 8, TypeOpener: 8, TypeQuery: 44, TypeAnnounce: 44, TypeRelayed: 21,
	}
	for v := range 256 {
		b := make([]byte, MaxPacket)
		b[0], b[1] = byte(v), Version
		n, known := least[Type(v)]
		if !known {
			if got, err := ControlType(b); got != 0 || err != ErrType {
				t.Errorf("type %#x: %v, %v", v, got, err)
			}
			continue
		}
		if got, err := ControlType(b[:n]); got != Type(v) || err != nil {
			t.Errorf("%v of %d bytes: %v, %v", Type(v), n, got, err)
		}
		if got, err := ControlType(b[:n-1]); got != 0 || err != ErrShort {
			t.Errorf("%v of %d bytes: %v, %v", Type(v), n-1, got, err)
		}
		b[1]++
		if got, err := ControlType(b); got != 0 || err != ErrVersion {
			t.Errorf("%v of another version: %v, %v", Type(v), got, err)
		}
	}
	for n := range headerLen {
		if _, err := ControlType(fill(0x20, n)); err != ErrShort {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
}

func TestMessageTypeOf(t *testing.T) {
	for v := range 256 {
		want := v >= 1 && v <= 5 || v >= 0x10 && v <= 0x20 || v >= 0x24 && v <= 0x26 || v >= 0x30 && v <= 0x33
		got, err := MessageTypeOf([]byte{byte(v), 0})
		if want && (int(got) != v || err != nil) || !want && (got != 0 || err != ErrType) {
			t.Errorf("%#x: %v, %v", v, got, err)
		}
	}
	if _, err := MessageTypeOf(nil); err != ErrShort {
		t.Errorf("nothing: error %v", err)
	}
}

// TestStrings checks the names that logs show, and those of numbers that have
// none.
func TestStrings(t *testing.T) {
	for _, tt := range []struct {
		v    interface{ String() string }
		want string
	}{
		{TypeCookieReply, "CookieReply"}, {Type(0x2b), "type 0x2b"}, {Type(0x1f), "type 0x1f"},
		{MsgNotice, "Notice"}, {MessageType(8), "message 0x8"}, {MessageType(0x21), "message 0x21"},
		{EngineNone, "none"}, {EngineQUIC, "quic"}, {EngineNQUIC, "nquic"}, {EngineYamux, "yamux"}, {Engine(4), "engine 4"},
		{ResponseAccept, "accept"}, {ResponseStale, "stale"}, {ResponseRefused, "refused"}, {ResponseKind(0), "response kind 0"},
		{VisibleEveryone, "everyone"}, {VisibleZone, "zone"}, {VisibleNobody, "nobody"}, {Visibility(3), "visibility 3"},
		{StatusOK, "ok"}, {StatusNotFound, "not found"}, {StatusNotAllowed, "not allowed"}, {StatusTooMany, "too many requests"},
		{StatusMalformed, "malformed"}, {StatusTooOld, "too old"}, {StatusTooLarge, "too large"},
		{StatusSuperseded, "superseded"}, {StatusDraining, "draining"}, {Status(9), "status 9"},
		{NoticeSuperseded, "superseded"}, {NoticeDraining, "draining"}, {NoticeCode(3), "notice 3"},
		{UnboundPeer, "peer left"}, {UnboundIdle, "idle"}, {UnboundUnmet, "peer did not come"}, {UnboundQuota, "allowance used up"},
		{UnboundUnlisted, "not admitted any more"}, {UnboundReason(6), "reason 6"}, {Tag{0xab}, "ab" + strings.Repeat("0", 30)},
		{Candidate{CandidateHost, addr4}, "host 192.0.2.1:443"},
		{CandidateServerReflexive, "server-reflexive"}, {CandidatePeerReflexive, "peer-reflexive"},
		{CandidateConfigured, "configured"}, {CandidateMapped, "mapped"}, {CandidateRelay, "relay"},
		{CandidateKind(7), "candidate kind 7"},
	} {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("%#v: %q, want %q", tt.v, got, tt.want)
		}
	}
}

func TestErrorText(t *testing.T) {
	_, err := ParseCall(fill(byte(MsgCall), 40))
	if want := "wire: Call: after 38 bytes: over the limit"; err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	if !errors.Is(err, ErrCount) {
		t.Errorf("%v is not ErrCount", err)
	}
}

// TestAllocs checks that the messages of every path and every ping cost no
// allocation in either direction.
func TestAllocs(t *testing.T) {
	buf := make([]byte, 0, MaxPacket)
	sealed := (&SealedHeader{Receiver: 1}).Append(nil)
	sealed = append(sealed, make([]byte, 16)...)
	probe := (&Probe{Token: 1}).Append(nil)
	reply := (&ProbeReply{1, addr6}).Append(nil)
	ping := (&Ping{Request: 1}).Append(nil)
	pong := (&Pong{1, false, addr4}).Append(nil)
	relayed := (&Relayed{Tag{1}, probe}).Append(nil)
	n := testing.AllocsPerRun(100, func() {
		h, err1 := ParseSealedHeader(sealed)
		p, err2 := ParseProbe(probe)
		r, err3 := ParseProbeReply(reply)
		i, err4 := ParsePing(ping)
		o, err5 := ParsePong(pong)
		d, err6 := ParseRelayed(relayed)
		if errors.Join(err1, err2, err3, err4, err5, err6) != nil {
			t.Fatal("a golden does not parse")
		}
		buf = d.Append(buf[:0])
		buf = o.Append(i.Append(r.Append(p.Append(h.Append(buf[:0])))))
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, g := range goldens {
		in := g.bytes()
		b.Run(g.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := g.parse(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
