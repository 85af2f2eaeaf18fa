// Package sequence draws what two devices and a super node said to each other as a sequence
// diagram: a lane for each machine, and a row for each packet, from where it was
// sent to where it was delivered or dropped. It names packets by the registry of
// package wire, as far as their first bytes tell what they are.
package sequence
