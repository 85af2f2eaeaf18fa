package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// fuzzMessage feeds a parser: it must not panic, and what it accepts must mean
// the same when it is encoded again.
func fuzzMessage(f *testing.F, name string) {
	kind := reflect.TypeOf(goldenOf(f, name).msg)
	for i := range goldens {
		if reflect.TypeOf(goldens[i].msg) == kind {
			f.Add(goldens[i].bytes())
		}
	}
	g := goldenOf(f, name)
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		checkStable(t, g, b)
		if !bytes.Equal(in, b) {
			t.Fatal("the parser writes to its input")
		}
	})
}

func FuzzInitiation(f *testing.F)        { fuzzMessage(f, "Initiation") }
func FuzzResponse(f *testing.F)          { fuzzMessage(f, "Response") }
func FuzzCookieReply(f *testing.F)       { fuzzMessage(f, "CookieReply") }
func FuzzSealed(f *testing.F)            { fuzzMessage(f, "Sealed") }
func FuzzDescribe(f *testing.F)          { fuzzMessage(f, "Describe") }
func FuzzDescribed(f *testing.F)         { fuzzMessage(f, "Described") }
func FuzzHint(f *testing.F)              { fuzzMessage(f, "Hint") }
func FuzzOpener(f *testing.F)            { fuzzMessage(f, "Opener") }
func FuzzQuery(f *testing.F)             { fuzzMessage(f, "Query") }
func FuzzAnnounce(f *testing.F)          { fuzzMessage(f, "Announce") }
func FuzzInitiationPayload(f *testing.F) { fuzzMessage(f, "initiation payload") }
func FuzzResponsePayload(f *testing.F)   { fuzzMessage(f, "response payload") }
func FuzzEarlyQuestion(f *testing.F)     { fuzzMessage(f, "early question payload") }
func FuzzEarlyAnswer(f *testing.F)       { fuzzMessage(f, "early answer payload") }
func FuzzProbe(f *testing.F)             { fuzzMessage(f, "Probe") }
func FuzzProbeReply(f *testing.F)        { fuzzMessage(f, "ProbeReply") }
func FuzzSounding(f *testing.F)          { fuzzMessage(f, "Sounding") }
func FuzzGoodbye(f *testing.F)           { fuzzMessage(f, "Goodbye") }
func FuzzCandidates(f *testing.F)        { fuzzMessage(f, "Candidates") }
func FuzzPing(f *testing.F)              { fuzzMessage(f, "Ping") }
func FuzzPong(f *testing.F)              { fuzzMessage(f, "Pong") }
func FuzzRegister(f *testing.F)          { fuzzMessage(f, "Register") }
func FuzzRegistered(f *testing.F)        { fuzzMessage(f, "Registered") }
func FuzzLookup(f *testing.F)            { fuzzMessage(f, "Lookup") }
func FuzzFound(f *testing.F)             { fuzzMessage(f, "Found") }
func FuzzPublish(f *testing.F)           { fuzzMessage(f, "Publish") }
func FuzzPublished(f *testing.F)         { fuzzMessage(f, "Published") }
func FuzzCall(f *testing.F)              { fuzzMessage(f, "Call") }
func FuzzCallReply(f *testing.F)         { fuzzMessage(f, "CallReply") }
func FuzzCalled(f *testing.F)            { fuzzMessage(f, "Called") }
func FuzzCalledAck(f *testing.F)         { fuzzMessage(f, "CalledAck") }
func FuzzSignal(f *testing.F)            { fuzzMessage(f, "Signal") }
func FuzzSignalled(f *testing.F)         { fuzzMessage(f, "Signalled") }
func FuzzChallenge(f *testing.F)         { fuzzMessage(f, "Challenge") }
func FuzzChallengeReply(f *testing.F)    { fuzzMessage(f, "ChallengeReply") }
func FuzzNotice(f *testing.F)            { fuzzMessage(f, "Notice") }
func FuzzLookupPart(f *testing.F)        { fuzzMessage(f, "LookupPart") }
func FuzzFoundPart(f *testing.F)         { fuzzMessage(f, "FoundPart") }
func FuzzPublishPart(f *testing.F)       { fuzzMessage(f, "PublishPart") }
func FuzzRelayed(f *testing.F)           { fuzzMessage(f, "Relayed") }
func FuzzBind(f *testing.F)              { fuzzMessage(f, "Bind") }
func FuzzBound(f *testing.F)             { fuzzMessage(f, "Bound") }
func FuzzUnbind(f *testing.F)            { fuzzMessage(f, "Unbind") }
func FuzzUnbound(f *testing.F)           { fuzzMessage(f, "Unbound") }
func FuzzRelayToken(f *testing.F)        { fuzzMessage(f, "relay token payload") }

// FuzzTypes has the types that are told of packets and messages be known ones, and
// those of control packets in the range of spec §1.
func FuzzTypes(f *testing.F) {
	for i := range goldens {
		f.Add(goldens[i].bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if ty, err := ControlType(b); err == nil && (b[0]>>5 != 1 || !ty.known()) {
			t.Fatalf("%x is a %v", b, ty)
		}
		if ty, err := MessageTypeOf(b); (err == nil) != ty.known() {
			t.Fatalf("%x is a %v, %v", b, ty, err)
		}
	})
}
