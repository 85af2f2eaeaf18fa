package session

import "net"

// NewPlainQUIC makes the engine as it is where there are no runs or batches.
func NewPlainQUIC(c QUICConfig) (Engine, error) {
	return newQUIC(c, func(v *virtualConn) (net.PacketConn, func()) { return v, func() {} })
}
