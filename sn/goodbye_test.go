package sn

import (
	"testing"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
)

// A device that says goodbye is gone at once, with all that it held; its
// descriptor can still be looked up. Another session of it is not.
func TestGoodbye(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, b := r.online(1), r.online(2)
		held := r.s.sessions.Len()
		b.send(&wire.Goodbye{Reason: "closed"})
		if ans := a.call(wire.Call{Callee: b.id()}); ans.Status != wire.StatusNotFound {
			t.Errorf("a call to who has gone: %v", ans.Status)
		}
		if n := r.s.sessions.Len(); n != held-1 {
			t.Errorf("%d sessions, want %d", n, held-1)
		}
		if st := r.s.Stats(); st.Goodbyes != 1 || st.Devices != 1 {
			t.Errorf("%d goodbyes, %d devices", st.Goodbyes, st.Devices)
		}
		b.send(&wire.Goodbye{}) // under keys that are forgotten
		if ans := a.call(wire.Call{Callee: a.id()}); ans.Status != wire.StatusNotAllowed {
			t.Errorf("the other device: %v", ans.Status)
		}
	})
}

func TestGoodbyeOfASupersededSession(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		a, key := r.online(1), newLocal(r.t, 2, identity.ID{})
		old := r.devOf(2, key).shake()
		old.register(wire.VisibleEveryone)
		again := r.devOf(3, key)
		again.stamper = old.stamper
		again.shake().register(wire.VisibleEveryone)
		old.send(&wire.Goodbye{})
		if ans := a.call(wire.Call{Callee: again.id()}); ans.Status != wire.StatusOK {
			t.Errorf("a call to the session that superseded: %v", ans.Status)
		}
	})
}
