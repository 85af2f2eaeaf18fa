package path

import (
	"net/netip"
	"strconv"

	"github.com/bdtnet/bdt/internal/wire"
)

// ActionKind says what an Action asks of the owner.
type ActionKind uint8

// The kinds of action.
const (
	// Open: send an Opener (wire.Opener) to Addr with HopLimit.
	Open ActionKind = iota + 1
	// Knock: send the pending Initiation or Response to Addr.
	Knock
	// SendProbe: seal Probe and send it to Addr.
	SendProbe
	// SendReply: seal Reply and send it to Addr.
	SendReply
	// Sound: seal Sounding and send it to Addr.
	Sound
	// Use: from now on data goes to Addr. The path may not be valid yet (spec §4).
	Use
	// Check: the current path is in doubt; find out where SNs see us now, since our
	// NAT may have moved us.
	Check
	// Resend: the current path works again, after packets were lost on it. What the
	// data plane sent last is worth sending again.
	Resend
	// Recall: no path answers, or the session wakes; ask the SN to call the peer again.
	Recall
	// Lost: no path has answered for LostAfter. The Set goes on trying what is
	// left; a Use tells that the peer is back.
	Lost
)

// String returns the name of the kind.
func (k ActionKind) String() string {
	switch k {
	case Open:
		return "open"
	case Knock:
		return "knock"
	case SendProbe:
		return "probe"
	case SendReply:
		return "reply"
	case Sound:
		return "sound"
	case Use:
		return "use"
	case Check:
		return "check"
	case Resend:
		return "resend"
	case Recall:
		return "recall"
	case Lost:
		return "lost"
	}
	return "action " + strconv.Itoa(int(k))
}

// An Action is one thing for the owner to do. Link and Addr say where, for all
// kinds but Check, Resend, Recall and Lost.
type Action struct {
	Kind     ActionKind
	Link     Link
	Addr     netip.AddrPort
	HopLimit uint8           // Open
	Probe    wire.Probe      // SendProbe
	Reply    wire.ProbeReply // SendReply
	Sounding wire.Sounding   // Sound
	PathKind Kind            // Use: as known so far
	Reason   Reason          // Use
}
