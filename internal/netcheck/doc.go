// Package netcheck is an examination of the network between this machine and
// some STUN servers: whether UDP passes, and how the NATs on the way map and filter
// (RFC 4787), found out as RFC 5780 says where the servers have two addresses,
// and otherwise by comparing what several servers see. What cannot be told
// from here is unknown, with the reason. docs/spec/netcheck.md says how.
//
// It opens sockets of its own, because a NAT's filtering shows only on a
// mapping that has sent to nobody else, and closes them before it returns.
package netcheck
