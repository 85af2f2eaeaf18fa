package path

import (
	"net/netip"
	"time"
)

// Reason is why something was decided.
type Reason uint8

// An Entry is one line of the record (spec §7).
type Entry struct {
	Time   time.Time
	Local  netip.AddrPort // zero: no link concerned
	Remote netip.AddrPort // zero: no path concerned
	Event  string
	Reason Reason
}
