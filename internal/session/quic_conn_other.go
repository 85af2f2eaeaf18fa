//go:build !linux

package session

import "net"

// openPacketConn returns c itself: quic-go writes and reads single packets.
func openPacketConn(c *virtualConn) (conn net.PacketConn, done func()) {
	return c, func() {}
}
