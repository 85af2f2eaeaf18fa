// Package snclient is a device's membership at one super node: coming online,
// staying there, calling and being called. It implements the device's side of
// docs/spec/sn.md, which comments cite as "spec" with a section.
//
// A [Client] is owned by one goroutine, which resolves, shakes hands, registers
// and pings. What arrives is queued for it by HandleControl; requests (Call,
// Lookup, Publish, Signal) seal and send in the goroutine that makes them. It
// opens no socket: packets go out through Config.Send, and come in through
// HandleControl.
package snclient
