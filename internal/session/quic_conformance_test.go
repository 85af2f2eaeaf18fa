package session_test

import (
	"testing"

	"github.com/bdtnet/bdt/internal/session"
	"github.com/bdtnet/bdt/internal/session/sessiontest"
)

func newQUIC(t testing.TB, id session.Identity) session.Engine {
	e, err := session.NewQUIC(session.QUICConfig{Identity: id})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestQUICConformance(t *testing.T) { sessiontest.RunEngine(t, newQUIC) }
