// Package stun is the Binding exchange of RFC 8489, with what RFC 5780 adds to
// find out how a NAT behaves: how a device asks where a server sees it, from
// which address and to which port the answer is to come, and how the server
// answers. It is the sole importer of pion/stun, and does no I/O.
package stun
