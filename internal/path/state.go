package path

// State is the state of a path (spec §1).
type State uint8

// The states. In each, an authenticated packet from the path's address leads to
// Validating unless it is Validating or better, and the answer to our probe
// leads to Valid.
const (
	// Knocking: packets are sent to a candidate. Exits: Validating, Valid,
	// Failed when the budget of knocks is used up.
	Knocking State = iota + 1
	// Validating: the peer was heard from there; our own probe is out. Exits:
	// Valid, Failed.
	Validating
	// Valid: our probe was answered. Exits: Suspect, Failed when it is no longer wanted.
	Valid
	// Suspect: replies are missing. Exits: Valid, Dead.
	Suspect
	// Dead: it was valid and no longer answers; probed with back-off. Exits:
	// Validating, Valid, Failed.
	Dead
	// Failed: nothing is sent there. Exits: Knocking, Validating, Valid.
	Failed
)

var stateNames = [...]string{
	Knocking: "knocking", Validating: "validating", Valid: "valid",
	Suspect: "suspect", Dead: "dead", Failed: "failed",
}

// String returns the name of the state.
func (s State) String() string {
	if int(s) < len(stateNames) && s != 0 {
		return stateNames[s]
	}
	return "unknown"
}
