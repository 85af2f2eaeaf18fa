package peer

// Connected reports whether there is a session, which Session would return at
// once. It is never behind, as Status may be by an event.
func (p *Peer) Connected() bool {
	c := p.live.Load()
	return c != nil && c.session.Err() == nil
}
