package pn

import (
	"testing"

	"github.com/bdtnet/bdt/internal/wire"
)

// tokensOnly has a rig admit those with tokens, and returns how to bind with a token of nobody's,
// without waiting.
func tokensOnly(t *testing.T, r *rig) (forge func(d *dev)) {
	cfg := r.s.cfg
	cfg.Admission = Admission{Tokens: true}
	if _, err := r.s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	peer := newLocal(t, 1<<20).Device.ID()
	return func(d *dev) {
		token := wire.RelayToken{Subject: d.id(), Expires: 1 << 40}
		d.r.deliverRun(d.addr, d.seal(&wire.Bind{Request: 1, Pays: true, Tag: tagOf(1), Peer: peer, Token: token.Append(nil)}), 0)
	}
}

// TestForgedTokensOfOneNetwork: sessions cost nothing. However many of one network show forged
// tokens, the server verifies no more than a network's part, and serves others.
func TestForgedTokensOfOneNetwork(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		forge := tokensOnly(t, r)
		for n := range 20 {
			d := r.dev(n).shake()
			for range 50 {
				forge(d)
				r.wait()
			}
		}
		if got := r.s.Stats().Refused; got != checkBurst {
			t.Errorf("%d forged tokens of one network were looked at, want %d", got, checkBurst)
		}
		r.conn.take(addrOf(1000))
		forge(r.dev(1000).shake())
		r.wait()
		if got := r.s.Stats().Refused; got != checkBurst+1 {
			t.Error("one of another network is not looked at")
		}
	})
}

// TestForgedTokensLeaveRoom: tokens that wait to be looked at leave the queue to handshakes.
func TestForgedTokensLeaveRoom(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, r *rig) {
		forge := tokensOnly(t, r)
		var devs []*dev
		for n := range 8 {
			devs = append(devs, r.dev(1000*n).shake())
		}
		block := make(chan struct{})
		r.s.jobs <- func() { <-block }
		for _, d := range devs {
			for range 50 {
				forge(d)
			}
		}
		d := r.dev(9000)
		i := d.initiation()
		r.deliverRun(d.addr, i.Packet(), 0)
		close(block)
		r.wait()
		if got := len(r.conn.take(d.addr)); got != 1 {
			t.Errorf("%d answers to an initiation behind tokens that wait", got)
		}
		if st := r.s.Stats(); st.Overload == 0 || st.Refused == 0 {
			t.Errorf("%d looked at, %d not", st.Refused, st.Overload)
		}
	})
}
