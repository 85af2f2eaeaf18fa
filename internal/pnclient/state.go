package pnclient

// State says whether the PN serves the client.
type State uint8

// The states, with their exits.
const (
	// Offline: no keys that the PN has answered under, and trying. To Online by a Pong.
	Offline State = iota
	// Online: the PN answers. To Draining when it says so, to Offline when it says goodbye or
	// does not answer pings.
	Online
	// Draining: it answers, but is about to stop, and takes no more bindings. To Offline as
	// from Online.
	Draining
	// Closed is final.
	Closed
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case Offline:
		return "offline"
	case Online:
		return "online"
	case Draining:
		return "draining"
	case Closed:
		return "closed"
	}
	return "unknown"
}
