package snclient

// State says whether the SN serves the client.
type State uint8

// The states, with their exits.
const (
	// Offline: not registered, and trying. To Online when Registered comes, to
	// Superseded when the SN says so.
	Offline State = iota
	// Online: registered. To Offline when pings are not answered, to Superseded.
	Online
	// Superseded: another instance of the device has registered, and only one can
	// be. To Offline by Reregister.
	Superseded
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
	case Superseded:
		return "superseded"
	case Closed:
		return "closed"
	}
	return "unknown"
}
