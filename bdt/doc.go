// Package bdt is a device's connection to other devices: dial them by
// identity, listen for them, and talk over streams, wherever either is.
//
// A [Stack] is one device on the network. Open it with a [Config]; the zero
// Config makes a fresh identity and talks to nobody but those whose tickets
// carry an address, so give it at least one super node (SN):
//
//	stack, err := bdt.Open(bdt.Config{Device: device, SNs: refs})
//	conn, err := stack.Dial(ctx, peerID, "echo")     // a net.Conn
//	ln, err := stack.Listen("echo", bdt.Everyone)    // a net.Listener
//
// Between two devices there is one session at a time. It is authenticated at
// both ends by their keys, outlives the paths it runs over, and is opened by
// the first Dial and shared by all streams after. docs/architecture.md follows
// one dial from end to end.
package bdt
