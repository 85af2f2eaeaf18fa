package peer

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/bdtnet/bdt/internal/path"
)

// Translate implements Host.
func (r *rig) Translate(addr netip.AddrPort) (netip.AddrPort, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, ok := r.translated[addr]
	return to, ok
}

// TestTranslated: an address that can be translated is tried by its other name,
// and one that was told before it could be is tried anew.
func TestTranslated(t *testing.T) {
	inRig(t, true, func(r *rig) {
		at := func() (list []netip.AddrPort) {
			paths, _ := r.p.Explain()
			for _, i := range paths {
				list = append(list, i.Remote)
			}
			return list
		}
		ctx, cancel := context.WithCancel(r.t.Context())
		defer cancel()
		go r.p.Session(ctx, Hints{Endpoints: []netip.AddrPort{away}})
		synctest.Wait()
		if got := at(); !slices.Equal(got, []netip.AddrPort{away}) {
			t.Fatalf("tried %v", got)
		}
		r.mu.Lock()
		r.translated = map[netip.AddrPort]netip.AddrPort{away: other}
		r.mu.Unlock()
		r.p.HandleTranslation()
		synctest.Wait()
		if got := at(); !slices.Contains(got, other) {
			t.Errorf("tried %v, want %v as well", got, other)
		}
		paths, _ := r.p.Explain()
		if i := slices.IndexFunc(paths, func(i path.Info) bool { return i.Remote == other }); i >= 0 && paths[i].State != path.Knocking {
			t.Errorf("the translated address is %v", paths[i].State)
		}
		cancel()
	})
}
