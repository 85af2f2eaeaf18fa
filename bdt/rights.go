package bdt

import (
	"fmt"
	"strings"
)

// Rights are what a caller may do with a service. A stream is accepted if the
// caller has any; what each of them allows, the service decides.
type Rights uint8

const (
	MayCall  Rights = 1 << iota // have it do something
	MayRead                     // get what it keeps
	MayWrite                    // change what it keeps

	AllRights = MayCall | MayRead | MayWrite
)

// rightNames are the rights in the order in which they are written, each with
// the letter that ParseAccess reads.
var rightNames = []struct {
	right  Rights
	name   string
	letter byte
}{
	{MayCall, "call", 'c'},
	{MayRead, "read", 'r'},
	{MayWrite, "write", 'w'},
}

// Has reports whether all of want are among r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// String returns the names of the rights, joined by commas, or "none".
func (r Rights) String() string {
	var names []string
	for _, n := range rightNames {
		if r.Has(n.right) {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

// parseRights reads the letters of rights, each at most once.
func parseRights(s string) (Rights, error) {
	var r Rights
letters:
	for i := range len(s) {
		for _, n := range rightNames {
			if s[i] != n.letter {
				continue
			}
			if r.Has(n.right) {
				return 0, fmt.Errorf("%q names the right %q twice", s, n.letter)
			}
			r |= n.right
			continue letters
		}
		return 0, fmt.Errorf("%q is no right: c is call, r is read, w is write", s[i:i+1])
	}
	if r == 0 {
		return 0, fmt.Errorf("no right is named: c is call, r is read, w is write")
	}
	return r, nil
}
