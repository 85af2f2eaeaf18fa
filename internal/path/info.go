package path

import (
	"net/netip"
	"time"
)

// Info describes a path at one moment.
type Info struct {
	Link     Link
	Local    netip.AddrPort // as bound
	Remote   netip.AddrPort
	Observed netip.AddrPort // our address as the peer sees it on this path; zero before the first reply
	Kind     Kind
	State    State
	Since    time.Time     // of State
	Current  bool          // data goes here
	Standby  bool          // data goes here next
	RTT      time.Duration // smoothed; 0 before the first reply
	RTTVar   time.Duration
	MinRTT   time.Duration
	Probes   int       // sent
	Replies  int       // to them; a few may be on their way
	Heard    time.Time // the last authenticated packet from there; zero: none
}
