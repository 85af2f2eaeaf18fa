// Package pnclient is a device's side of a proxy node: being there, binding with other
// devices, and exchanging packets with them through it. It implements the device's part of
// docs/spec/relay.md, which comments cite as "spec" with a section.
//
// A [Client] is owned by one goroutine, which resolves, shakes hands, pings and binds. What
// arrives is queued for it by HandleControl. Relayed packets do not pass it: [Binding.SendRun]
// sends in the goroutine that calls it, and [Client.Deliver] hands over in the socket's reader.
// It opens no socket: packets go out through Config.Send and Config.SendRun.
package pnclient
