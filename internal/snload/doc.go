// Package snload is a load on a super node: many devices, each with an
// identity and a membership of its own (snclient), that share a few sockets. It brings them
// online, has them ping and call each other, and measures what the SN makes of it.
//
// A device costs a goroutine and 12 KiB here, and as much again for the collector: 100,000 take 2.5 GiB. It runs over any
// [underlay.Network], a simulated one in virtual time as well.
package snload
