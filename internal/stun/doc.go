// Package stun is the Binding exchange of RFC 8489: how a device asks where a
// server sees it, and how the server answers. It is the sole importer of
// pion/stun, and does no I/O.
package stun
