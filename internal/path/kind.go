package path

// Kind is the kind of a path, for people and for the order of choice: the lower
// is preferred (spec §1, §5).
type Kind uint8

// The kinds, best first.
const (
	LAN Kind = iota + 1
	Direct
	Punched
	TCP
	Relayed
)

var kindNames = [...]string{LAN: "lan", Direct: "direct", Punched: "punched", TCP: "tcp", Relayed: "relayed"}

// String returns the name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) && k != 0 {
		return kindNames[k]
	}
	return "unknown"
}
