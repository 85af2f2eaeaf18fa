// Package discovery finds devices on the local network: it asks groups of IPv4
// and IPv6 multicast for those that are wanted, and tells those who look for this
// device where it is. It implements docs/spec/discovery.md, which comments cite
// as "spec" with a section.
//
// What is sent tells no id. A [Service] recognises the ids that it is asked to
// look for, and nothing it says of an address is to be trusted: it is a place
// where a handshake may be tried.
package discovery
