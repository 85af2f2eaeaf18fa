// Package identity owns the identity: who a device or a person is, and how
// anybody can check it without asking anybody else.
//
// An [ID] commits to a public key, because it is a hash over the part of an
// object that holds the key. Everything else follows from that: a [Device] or
// [People] object may come from any source, is parsed by [ParseDevice] or
// [ParsePeople], which verify all that can be verified, and is then compared
// by its id with the one that was wanted.
//
//   - [Secret] is the one 32-byte seed behind an identity's key pairs.
//   - [Device] describes a device: its keys, its owner, where it may be reached.
//   - [People] describes an owner: which devices lead to it, which it revoked;
//     [People.Member] decides who belongs to its zone.
//   - [LocalDevice] and [LocalPeople] are identities we hold the secret of, and
//     live in key files.
//   - [Ticket] is a URI with all that is needed to dial a peer or fetch content.
//
// Layouts and signing rules are in docs/spec/identity.md, to which the comments
// here refer as "spec" with a section number. The package does no network I/O,
// starts no goroutines and reads no clock.
package identity
