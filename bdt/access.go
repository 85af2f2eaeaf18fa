package bdt

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bdtnet/bdt/identity"
)

// Access says what a caller may do with a service; no right at all means that
// it is denied. It is asked once for each stream, may be asked from several
// goroutines at once, and may block for as long as [Caller.MemberOf] does. A nil
// Access is [OwnZone].
type Access func(Caller) Rights

// grant returns what a grants.
func (a Access) grant(c Caller) Rights {
	if a == nil {
		a = OwnZone
	}
	return a(c) & AllRights
}

// Limit returns a policy that grants what a does, but nothing beyond r.
func (a Access) Limit(r Rights) Access {
	return func(c Caller) Rights { return a.grant(c) & r }
}

// Everyone grants every device all rights.
func Everyone(Caller) Rights { return AllRights }

// OwnZone grants the devices of this device's owner all rights. It is the
// default.
func OwnZone(c Caller) Rights { return allIf(c.InOwnZone()) }

// Friends grants those that Config.Friends names all rights. The own zone is not
// among them unless it is named.
func Friends(c Caller) Rights { return allIf(c.IsFriend()) }

// Nobody grants nothing.
func Nobody(Caller) Rights { return 0 }

func allIf(ok bool) Rights {
	if ok {
		return AllRights
	}
	return 0
}

// Only grants those named all rights: devices by their ids, and by the id of an
// owner (a People) every current member of its zone.
func Only(ids ...identity.ID) Access {
	ids = slices.Clone(ids)
	return func(c Caller) Rights { return allIf(c.isAnyOf(ids)) }
}

// AnyOf grants what any of the policies does.
func AnyOf(list ...Access) Access {
	list = slices.Clone(list)
	return func(c Caller) Rights {
		var r Rights
		for _, a := range list {
			if r |= a.grant(c); r == AllRights {
				break // the rest may have to look something up
			}
		}
		return r
	}
}

// maxAccessText bounds what ParseAccess reads, in bytes: about 1,300 ids.
const maxAccessText = 64 << 10

// ParseAccess reads a policy as people write it (docs/spec/access.md §2): everyone,
// zone, friends, nobody, or the id of a device or an owner, or several of these
// joined by commas. Each may end in a colon and the letters of what it grants (c call,
// r read, w write): "zone,everyone:r". Without, it grants everything.
func ParseAccess(s string) (Access, error) {
	if len(s) > maxAccessText {
		return nil, fmt.Errorf("policy of %d bytes, at most %d", len(s), maxAccessText)
	}
	fields := strings.Split(s, ",")
	list := make([]Access, 0, len(fields))
	for _, f := range fields {
		who, letters, limited := strings.Cut(strings.TrimSpace(f), ":")
		a, err := parseWho(who)
		switch {
		case err != nil:
			return nil, err
		case who == "nobody" && (limited || len(fields) > 1):
			return nil, errors.New("nobody stands alone: it takes away nothing from what others are granted")
		case limited:
			r, err := parseRights(letters)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", who, err)
			}
			a = a.Limit(r)
		}
		list = append(list, a)
	}
	return AnyOf(list...), nil
}

// parseWho reads whom a policy admits.
func parseWho(s string) (Access, error) {
	switch s {
	case "":
		return nil, errors.New("nobody is named: say everyone, zone, friends, nobody, or the id of a device or an owner")
	case "everyone":
		return Everyone, nil
	case "zone":
		return OwnZone, nil
	case "friends":
		return Friends, nil
	case "nobody":
		return Nobody, nil
	}
	id, err := identity.ParseID(s)
	if err != nil {
		return nil, fmt.Errorf("%q is neither everyone, zone, friends or nobody, nor an id: %w", s, err)
	}
	if !isParty(id) {
		return nil, fmt.Errorf("%s is the id of a %s, not of a device or an owner", s, id.Type())
	}
	return Only(id), nil
}

// isParty reports whether an id names somebody: a device or an owner.
func isParty(id identity.ID) bool {
	return id.Type() == identity.TypeDevice || id.Type() == identity.TypePeople
}
