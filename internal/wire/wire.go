// Package wire owns the packet: the registry of type numbers, and the layout of
// all that travels beside the streams' own bytes. It implements
// docs/spec/wire.md, which comments cite as "spec" with a section.
//
// One message is one file: a struct, Append, and a Parse function. They hold no
// state and may be called concurrently.
//
//   - Append appends the encoding to a slice and returns it. It cannot fail and
//     does not check: limits are stated at each field, and what breaks them is
//     the caller's bug, answered by the receiving parser.
//   - Parse takes exactly one packet, message or payload, and accepts any bytes
//     without panicking. Counts and lengths are checked against their caps before
//     anything is allocated. Bytes after the end are an error in all but the
//     padded ones (Describe, Opener, Probe). Variable-length fields alias the
//     input: who keeps one beyond the life of the packet's buffer copies it. An
//     empty field is nil. With an error comes the zero value.
//   - Reserved flag bits are sent as 0 and ignored, so that a later version may
//     use them.
package wire

import (
	"errors"
	"strconv"

	"github.com/bdtnet/bdt/identity"
)

// Errors of the parsers, which wrap one of these with the name of what was
// parsed and the offset.
var (
	// ErrShort: the input ends before the message does.
	ErrShort = errors.New("too short")
	// ErrTrailing: bytes follow the end of the message.
	ErrTrailing = errors.New("trailing bytes")
	// ErrVersion: a control packet of another version of the format.
	ErrVersion = errors.New("unknown version")
	// ErrType: an unknown type, or another than the one asked for.
	ErrType = errors.New("wrong type")
	// ErrCount: a count or a length is over its cap.
	ErrCount = errors.New("over the limit")
	// ErrValue: a field holds a value that it must not.
	ErrValue = errors.New("invalid value")
)

// Version is the version of the format, the second byte of each control packet
// (spec §2).
const Version = 1

// Limits, in bytes unless said otherwise (spec §7). Those on early data are what
// the largest packets that can hold it leave of MaxPacket.
const (
	MaxPacket     = 1200                   // the UDP payload of any packet of ours but Relayed, which holds one
	MaxDevice     = identity.MaxDeviceSize // a signed device
	MaxObject     = 1100                   // an object in Publish and Found, or a part of one
	MaxStored     = 12 << 10               // an object in parts: the largest owner takes less than 10 KiB
	MaxCandidates = 8                      // candidates in a list
	MaxEngines    = 4                      // engines offered
	MaxReason     = 128                    // the reason of a Goodbye

	// MaxInitiationEarly is bound by Called, which carries the whole initiation:
	// 32 + 1+8+32+4+1+161+49+1+2 + 722 = 1,013, of 1,200.
	MaxInitiationEarly = 187
	// MaxResponseEarly is bound by Signal: 32 + 1+32+2 + 828 = 895, of 1,200.
	MaxResponseEarly = 305
	// MaxInitiation is a whole initiation:
	// 136 + 1+8+8+(1+4)+(2+560)+(2+187).
	MaxInitiation = 909
	// MaxResponse is a whole response: 92 + 1+1+8+1+(2+560)+161+(2+305).
	MaxResponse = 1133
	// MaxSignal is the control packet in a Signal: no other is longer.
	MaxSignal = MaxResponse
)

// Lengths of fixed parts, in bytes (spec §2).
const (
	MACsLen         = 32  // mac1 and mac2, at the end of Initiation and Response
	SealedHeaderLen = 16  // the associated data of a Sealed packet
	SealedOverhead  = 32  // header and tag
	DescribeLen     = 700 // a Describe, at least; no less than its answer
)

// Type is the first byte of a control packet (spec §2).
type Type uint8

// The control packets. Numbers are never reused.
const (
	TypeInitiation  Type = 0x20
	TypeResponse    Type = 0x21
	TypeCookieReply Type = 0x22
	TypeSealed      Type = 0x23
	TypeDescribe    Type = 0x24
	TypeDescribed   Type = 0x25
	TypeHint        Type = 0x26
	TypeOpener      Type = 0x27
	TypeQuery       Type = 0x28
	TypeAnnounce    Type = 0x29
	TypeRelayed     Type = 0x2a
)

// types holds, for each control packet, its name and its least length in bytes
// (spec §2): that of the fixed parts, and of Noise messages with an empty payload.
var types = [...]struct {
	name string
	min  int
}{
	TypeInitiation:  {"Initiation", 136},
	TypeResponse:    {"Response", 92},
	TypeCookieReply: {"CookieReply", 64},
	TypeSealed:      {"Sealed", SealedOverhead},
	TypeDescribe:    {"Describe", DescribeLen},
	TypeDescribed:   {"Described", 14},
	TypeHint:        {"Hint", 8},
	TypeOpener:      {"Opener", 8},
	TypeQuery:       {"Query", 44},
	TypeAnnounce:    {"Announce", 44},
	TypeRelayed:     {"Relayed", RelayedHeaderLen + 1},
}

func (t Type) known() bool { return int(t) < len(types) && types[t].min > 0 }

// String returns the name of the packet.
func (t Type) String() string {
	if t.known() {
		return types[t].name
	}
	return "type 0x" + strconv.FormatUint(uint64(t), 16)
}

// MessageType is the first byte of what a Sealed packet holds (spec §5, §6).
type MessageType uint8

// Messages between devices (spec §5). Numbers are never reused.
const (
	MsgProbe      MessageType = 0x01
	MsgProbeReply MessageType = 0x02
	MsgGoodbye    MessageType = 0x03
	MsgCandidates MessageType = 0x04
	MsgSounding   MessageType = 0x05
)

// Messages between a device and an SN (spec §6). Numbers are never reused.
const (
	MsgPing           MessageType = 0x10
	MsgPong           MessageType = 0x11
	MsgRegister       MessageType = 0x12
	MsgRegistered     MessageType = 0x13
	MsgLookup         MessageType = 0x14
	MsgFound          MessageType = 0x15
	MsgPublish        MessageType = 0x16
	MsgPublished      MessageType = 0x17
	MsgCall           MessageType = 0x18
	MsgCallReply      MessageType = 0x19
	MsgCalled         MessageType = 0x1a
	MsgCalledAck      MessageType = 0x1b
	MsgSignal         MessageType = 0x1c
	MsgSignalled      MessageType = 0x1d
	MsgChallenge      MessageType = 0x1e
	MsgChallengeReply MessageType = 0x1f
	MsgNotice         MessageType = 0x20
	MsgLookupPart     MessageType = 0x24
	MsgFoundPart      MessageType = 0x25
	MsgPublishPart    MessageType = 0x26
)

// Messages between a device and a PN (spec §8), beside those that SNs have too. Numbers
// are never reused.
const (
	MsgBind    MessageType = 0x30
	MsgBound   MessageType = 0x31
	MsgUnbind  MessageType = 0x32
	MsgUnbound MessageType = 0x33
)

var messageTypes = [...]string{
	MsgProbe:          "Probe",
	MsgProbeReply:     "ProbeReply",
	MsgGoodbye:        "Goodbye",
	MsgCandidates:     "Candidates",
	MsgSounding:       "Sounding",
	MsgPing:           "Ping",
	MsgPong:           "Pong",
	MsgRegister:       "Register",
	MsgRegistered:     "Registered",
	MsgLookup:         "Lookup",
	MsgFound:          "Found",
	MsgPublish:        "Publish",
	MsgPublished:      "Published",
	MsgCall:           "Call",
	MsgCallReply:      "CallReply",
	MsgCalled:         "Called",
	MsgCalledAck:      "CalledAck",
	MsgSignal:         "Signal",
	MsgSignalled:      "Signalled",
	MsgChallenge:      "Challenge",
	MsgChallengeReply: "ChallengeReply",
	MsgNotice:         "Notice",
	MsgLookupPart:     "LookupPart",
	MsgFoundPart:      "FoundPart",
	MsgPublishPart:    "PublishPart",
	MsgBind:           "Bind",
	MsgBound:          "Bound",
	MsgUnbind:         "Unbind",
	MsgUnbound:        "Unbound",
}

func (t MessageType) known() bool { return int(t) < len(messageTypes) && messageTypes[t] != "" }

// String returns the name of the message.
func (t MessageType) String() string {
	if t.known() {
		return messageTypes[t]
	}
	return "message 0x" + strconv.FormatUint(uint64(t), 16)
}

// ControlType returns the type of a control packet after checking its version
// and that it has the length that every packet of this type has. Its errors are
// ErrShort, ErrVersion and ErrType themselves, so that refusing costs nothing.
func ControlType(b []byte) (Type, error) {
	if len(b) < headerLen {
		return 0, ErrShort
	}
	if b[1] != Version {
		return 0, ErrVersion
	}
	t := Type(b[0])
	if !t.known() {
		return 0, ErrType
	}
	if len(b) < types[t].min {
		return 0, ErrShort
	}
	return t, nil
}

// MessageTypeOf returns the type of an opened Sealed message. The error is
// ErrShort if it is empty and ErrType if the type is unknown.
func MessageTypeOf(b []byte) (MessageType, error) {
	if len(b) == 0 {
		return 0, ErrShort
	}
	t := MessageType(b[0])
	if !t.known() {
		return 0, ErrType
	}
	return t, nil
}
