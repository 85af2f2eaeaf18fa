package peer

import (
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/internal/socket"
)

func TestRouteTableIsBounded(t *testing.T) {
	l := newFakeLink()
	var table routeTable
	sink := new(listSink)
	addr := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1)
	}
	for i := range 1000 {
		table.claim(source{l, addr(i)}, sink)
		if n := l.routeCount(); n > maxRoutes {
			t.Fatalf("%d routes after %d sources", n, i+1)
		}
	}
	for i := range 1000 {
		if want := i >= 1000-maxRoutes; (l.route(addr(i)) != nil) != want {
			t.Errorf("route %d there: %v, want %v", i, !want, want)
		}
	}
	table.clear()
	if n := l.routeCount(); n != 0 || len(table.routes) != 0 {
		t.Errorf("%d routes after clear", n)
	}
}

// A source that is another peer's is not claimed, but taken when it is proven.
// What is taken over is not deleted by the one who had it.
func TestRouteTableClaimAndTake(t *testing.T) {
	l := newFakeLink()
	var mine, theirs routeTable
	a, b := new(listSink), new(listSink)
	src := source{l, away}
	theirs.claim(src, b)
	mine.claim(src, a)
	if l.route(away) != socket.Sink(b) {
		t.Error("claimed another peer's source")
	}
	if len(mine.routes) != 0 {
		t.Error("keeps a route that is not its own")
	}
	mine.take(src, a)
	if l.route(away) != socket.Sink(a) {
		t.Error("did not take a proven source")
	}
	theirs.clear()
	if l.route(away) != socket.Sink(a) {
		t.Error("who had the source before deleted it")
	}
	mine.clear()
	if l.routeCount() != 0 {
		t.Error("a route is left")
	}
}

func TestRouteTableMoves(t *testing.T) {
	l := newFakeLink()
	var table routeTable
	a, b, c := new(listSink), new(listSink), new(listSink)
	table.claim(source{l, away}, a)
	table.claim(source{l, other}, b)
	table.claim(source{l, other}, b) // known already
	check := func(step string, atAway, atOther socket.Sink) {
		t.Helper()
		if l.route(away) != atAway || l.route(other) != atOther {
			t.Errorf("%s: %v and %v", step, l.route(away), l.route(other))
		}
	}
	check("claim", a, b)
	table.replace(b, c)
	check("replace", a, c)
	table.claim(source{l, away}, c)
	check("claim again", c, c)
	table.redirect(a)
	check("redirect", a, a)
	table.replace(a, nil)
	check("replace by nothing", nil, nil)
	table.claim(source{l, away}, a)
	table.claim(source{l, other}, b)
	table.remove(a)
	check("remove", nil, b)
	if len(table.routes) != 1 {
		t.Errorf("%d routes kept", len(table.routes))
	}
}
