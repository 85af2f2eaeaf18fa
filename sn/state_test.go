package sn

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/vault"
	"github.com/bdtnet/bdt/internal/wire"
)

// untilWritten is until all of a device is on the disk, from a whole second on. It
// ends between two writes: in the midst of one, chance would decide whether what the test does
// next is in it.
const untilWritten = flushInterval*(beatParts+1) + flushInterval/2

// withState runs a test of a rig whose server keeps its state, in virtual time.
func withState(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Limits{})
		r.config.State = filepath.Join(t.TempDir(), "state")
		r.begin()
		f(t, r)
	})
}

// begin starts a server on the state that is there.
func (r *rig) begin() {
	r.t.Helper()
	r.s = r.newServer()
	r.s.via = func(netip.AddrPort) sender { return r.sock }
	if err := r.s.openState(); err != nil {
		r.t.Fatal(err)
	}
	s := r.s
	s.running.Go(s.record)
	s.serve()
	r.t.Cleanup(func() { s.Close() })
}

// restart ends the server as SIGTERM does, and begins another.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.s.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.dropSent()
	r.begin()
}

// crash leaves the server, and begins another on the file as it is at this moment.
func (r *rig) crash() {
	r.t.Helper()
	b, err := os.ReadFile(r.config.State)
	if err != nil {
		r.t.Fatal(err)
	}
	r.config.State = filepath.Join(r.t.TempDir(), "state")
	if err := os.WriteFile(r.config.State, b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.s.Close() // its socket is not that of the next
	r.dropSent()
	r.begin()
}

// dropSent forgets all that was sent.
func (r *rig) dropSent() {
	r.sock.mu.Lock()
	defer r.sock.mu.Unlock()
	clear(r.sock.sent)
}

// settleDevice has a restored device answer the challenge that its packet earns.
func (d *dev) answerChallenge() {
	d.r.t.Helper()
	d.send(&wire.Ping{Request: d.next(), Instance: d.instance})
	c := one(d.r.t, wire.ParseChallenge, d.received())
	d.send(&wire.ChallengeReply{Token: c.Token})
	none(d.r.t, d.received())
}

func TestRestoredDeviceIsServed(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.dev(1).shake()
		d.register(wire.VisibleNobody, host("192.0.2.1:1"))
		d.ping(30 * time.Millisecond)
		time.Sleep(untilWritten)
		before, _ := r.s.devices.peer(d.id())
		r.crash()
		p, ok := r.s.devices.peer(d.id())
		if !ok || p.visibility != wire.VisibleNobody || len(p.list()) != 1 || p.list()[0] != host("192.0.2.1:1") ||
			p.rtt != 30*time.Millisecond || p.instance != d.instance || p.at.addr != d.addr ||
			p.descriptor.updated != before.descriptor.updated || !bytes.Equal(p.descriptor.bytes, before.descriptor.bytes) {
			t.Fatalf("restored as %+v, %v", p, ok)
		}
		d.answerChallenge()
		if p := one(t, wire.ParsePong, d.ping(0)); p.Reregister || p.Observed != d.addr {
			t.Errorf("pong %+v", p)
		}
		if st := r.s.Stats(); st.Restored != 1 || st.Handshakes != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// What a device sent between the last write and the crash must not be acted on
// again: not before it has proven to be there, and not after.
func TestReplaysAfterCrash(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d, callee := r.online(1), r.online(2)
		time.Sleep(untilWritten)
		call := d.seal(&wire.Call{Request: d.next(), Callee: callee.id()})
		again := d.seal(&wire.Call{Request: d.next(), Callee: callee.id()})
		goodbye := d.seal(&wire.Goodbye{})
		r.deliver(d.addr, call)
		r.crash()

		// Before: nothing but a challenge, to wherever it comes from.
		r.deliver(addrOf(100), goodbye)
		one(t, wire.ParseChallenge, d.receivedAt(addrOf(100)))
		r.deliver(d.addr, call)
		challenge := one(t, wire.ParseChallenge, d.received())
		none(t, callee.received())

		// An old reply, or another's token, proves nothing.
		d.send(&wire.ChallengeReply{Token: challenge.Token + 1})
		if p, _ := r.s.devices.peer(d.id()); p.session.floor != unsettled {
			t.Fatal("settled by a wrong token")
		}
		d.send(&wire.ChallengeReply{Token: challenge.Token})

		// After: what is older than the reply is nothing.
		r.deliver(d.addr, again)
		none(t, d.received())
		none(t, callee.received())
		if r.s.Stats().Devices != 2 {
			t.Error("a replayed goodbye took the device out")
		}
		if p := one(t, wire.ParsePong, d.ping(0)); p.Reregister {
			t.Error("not registered")
		}
		if got := r.s.Stats(); got.Unproven != 3 || got.CallsMade != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A replay does not keep a device registered that is gone.
func TestReplaysDoNotKeepADevice(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		time.Sleep(untilWritten)
		ping := d.seal(&wire.Ping{Request: d.next(), Instance: d.instance})
		r.crash()
		time.Sleep(200 * time.Second)
		r.deliver(d.addr, ping)
		time.Sleep(110 * time.Second)
		if n := r.s.Stats().Devices; n != 0 {
			t.Errorf("%d devices", n)
		}
	})
}

// However often and wherever the server crashes, no counter is used twice.
func TestCountersAfterCrashes(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		caller := r.online(2)
		time.Sleep(1500 * time.Millisecond)
		seen := map[uint64]int{}
		for round := range 6 {
			for range 3 {
				p, ok := r.s.devices.peer(d.id())
				if !ok {
					t.Fatalf("round %d: not registered", round)
				}
				r.s.sendMessage(p.session, p.at, &wire.Called{Call: 1, Caller: caller.id()}, time.Now())
			}
			for _, pkt := range r.sock.take(d.addr) {
				h, err := wire.ParseSealedHeader(pkt)
				if err != nil {
					t.Fatal(err)
				}
				if before, ok := seen[h.Counter]; ok {
					t.Errorf("counter %d in rounds %d and %d", h.Counter, before, round)
				}
				seen[h.Counter] = round
				if _, err := d.assoc.Open(nil, pkt, time.Now()); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if round%2 == 1 {
				time.Sleep(1200 * time.Millisecond) // something is written
			}
			r.crash()
		}
		if len(seen) != 18 {
			t.Errorf("%d counters", len(seen))
		}
	})
}

// A file that is restored from a backup does not repeat what was used since.
func TestStateFromABackup(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		time.Sleep(untilWritten)
		backup, err := os.ReadFile(r.config.State)
		if err != nil {
			t.Fatal(err)
		}
		var highest uint64
		for range 3 {
			r.restart()
			time.Sleep(time.Second)
			p, _ := r.s.devices.peer(d.id())
			r.s.sendMessage(p.session, p.at, &wire.Notice{}, time.Now())
			highest, _ = p.session.assoc().Counters()
		}
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		r.config.State += ".backup"
		if err := os.WriteFile(r.config.State, backup, 0o600); err != nil {
			t.Fatal(err)
		}
		r.begin()
		p, ok := r.s.devices.peer(d.id())
		if !ok {
			t.Fatal("not registered")
		}
		if n, _ := p.session.assoc().Counters(); n <= highest {
			t.Errorf("counter %d, after %d was used", n, highest)
		}
	})
}

func TestDeviceMovesWhileTheServerIsDown(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		r.restart()
		d.addr = addrOf(50)
		d.answerChallenge()
		if p := one(t, wire.ParsePong, d.ping(0)); p.Observed != addrOf(50) {
			t.Errorf("pong %+v", p)
		}
		time.Sleep(1100 * time.Millisecond)
		r.crash()
		if p, _ := r.s.devices.peer(d.id()); p.at.addr != addrOf(50) {
			t.Errorf("restored at %v", p.at.addr)
		}
	})
}

// A copy of a packet from elsewhere takes no challenge from the device.
func TestReplayDoesNotStarveARestoredDevice(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		time.Sleep(untilWritten)
		replays := [][]byte{}
		for range 3 {
			replays = append(replays, d.seal(&wire.Ping{Instance: d.instance}))
		}
		r.crash()
		r.deliver(addrOf(9), replays[0])
		one(t, wire.ParseChallenge, d.receivedAt(addrOf(9)))
		d.send(&wire.Ping{Instance: d.instance})
		c := one(t, wire.ParseChallenge, d.received())
		r.deliver(addrOf(9), replays[1])
		none(t, d.receivedAt(addrOf(9)))
		d.send(&wire.ChallengeReply{Token: c.Token})
		one(t, wire.ParsePong, d.ping(0))
	})
}

func TestRestoredDeviceIsSuperseded(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		r.restart()
		twin := r.dev(1)
		twin.instance, twin.addr = 99, addrOf(60)
		time.Sleep(time.Second)
		twin.shake()
		twin.register(wire.VisibleEveryone)
		if m := one(t, wire.ParseNotice, d.received()); m.Code != wire.NoticeSuperseded {
			t.Errorf("notice %v", m.Code)
		}
		// Once more when it asks, as soon as it is known not to be a replay.
		time.Sleep(time.Second)
		d.answerChallenge()
		if m := one(t, wire.ParseNotice, d.ping(0)); m.Code != wire.NoticeSuperseded {
			t.Errorf("notice %v", m.Code)
		}
		// The next run knows the newer only.
		r.restart()
		if p, _ := r.s.devices.peer(d.id()); p.instance != 99 {
			t.Errorf("instance %d", p.instance)
		}
	})
}

// The keys of a device have moved on, and are written within 10 s.
func TestEpochsAreKept(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d := r.online(1)
		for range 30 {
			time.Sleep(time.Minute)
			one(t, wire.ParsePong, d.ping(0))
		}
		epoch := d.assoc.Epoch()
		if epoch < 2 {
			t.Fatalf("epoch %d: the test tests nothing", epoch)
		}
		time.Sleep(untilWritten)
		r.crash()
		d.answerChallenge()
		one(t, wire.ParsePong, d.ping(0))
		if d.assoc.Epoch() < epoch {
			t.Errorf("epoch %d after %d", d.assoc.Epoch(), epoch)
		}
	})
}

func TestWhatIsGoneStaysGone(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d, silent, late := r.online(1), r.online(2), r.online(3)
		d.send(&wire.Goodbye{})
		time.Sleep(250 * time.Second)
		one(t, wire.ParsePong, late.ping(0))
		time.Sleep(11 * time.Second)
		// The server is away until the second has been silent for too long.
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Second)
		r.begin()
		for _, x := range []struct {
			d    *dev
			want bool
		}{{d, false}, {silent, false}, {late, true}} {
			if _, ok := r.s.devices.peer(x.d.id()); ok != x.want {
				t.Errorf("%v is registered: %v, want %v", x.d.id().Short(), ok, x.want)
			}
		}
		// And the file forgets them, too.
		time.Sleep(1100 * time.Millisecond)
		n := 0
		if err := r.s.journal.vault.Each(tableDevices, func(_, _ []byte) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("%d devices in the file, %v", n, err)
		}
	})
}

func TestDirectoryIsKept(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d, gone := r.online(1), r.online(2)
		stranger := newLocal(t, 77, identity.ID{}).Device
		d.send(&wire.Publish{Request: d.next(), Object: stranger.Bytes()})
		one(t, wire.ParsePublished, d.received())
		gone.send(&wire.Goodbye{})
		time.Sleep(1100 * time.Millisecond)
		r.crash()
		d.answerChallenge()
		for _, id := range []identity.ID{stranger.ID(), gone.id()} {
			d.send(&wire.Lookup{Request: d.next(), ID: id})
			if m := one(t, wire.ParseFound, d.received()); m.Status != wire.StatusOK {
				t.Errorf("lookup: %v", m.Status)
			}
		}
		time.Sleep(objectLife + 10*time.Second)
		r.restart()
		if n := r.s.Stats().Objects; n != 1 { // the device's own, which fell silent
			t.Errorf("%d objects after a day", n)
		}
	})
}

func TestStateFilesThatCannotBeRead(t *testing.T) {
	for _, test := range []struct {
		name   string
		spoil  func(t *testing.T, r *rig)
		want   error // of opening; nil: it starts without
		kept   bool  // what was there is set aside
		logged string
	}{
		{"another key", func(t *testing.T, r *rig) { r.config.Local = newLocal(t, 5, identity.ID{}) }, vault.ErrKey, false, ""},
		{"no vault", func(t *testing.T, r *rig) {
			if err := os.WriteFile(r.config.State, []byte(strings.Repeat("text", 5000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, vault.ErrForeign, false, ""},
		{"cut off", func(t *testing.T, r *rig) {
			if err := os.Truncate(r.config.State, 4096*3); err != nil {
				t.Fatal(err)
			}
		}, nil, true, "cannot read the state file"},
		{"a record of nonsense", func(t *testing.T, r *rig) {
			v := r.vault(stateVersion)
			defer v.Close()
			if err := v.Write([]vault.Change{{Table: tableDevices, Key: []byte{0xff}, Value: []byte("nonsense")}}); err != nil {
				t.Fatal(err)
			}
		}, nil, true, "cannot read all of the state file"},
		{"no number of the run", func(t *testing.T, r *rig) {
			b, err := os.ReadFile(r.config.State)
			if err != nil {
				t.Fatal(err)
			}
			parts := bytes.SplitAfter(b, keyRun)
			for _, p := range parts[1:] {
				p[0] ^= 1 // of the nonce behind the key
			}
			if err := os.WriteFile(r.config.State, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, true, "cannot read the state file"},
		{"records of a later version", func(t *testing.T, r *rig) {
			if err := os.Remove(r.config.State); err != nil {
				t.Fatal(err)
			}
			r.vault(stateVersion + 1).Close()
		}, nil, true, "cannot read the state file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			withState(t, func(t *testing.T, r *rig) {
				d := r.online(1)
				if err := r.s.Close(); err != nil {
					t.Fatal(err)
				}
				test.spoil(t, r)
				var log bytes.Buffer
				r.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
				s := r.newServer()
				defer s.Close()
				s.via = func(netip.AddrPort) sender { return r.sock }
				if err := s.openState(); !errors.Is(err, test.want) {
					t.Fatalf("got %v, want %v", err, test.want)
				}
				if test.want != nil {
					return
				}
				s.serve()
				if _, err := os.Stat(r.config.State + asideSuffix); (err == nil) != test.kept {
					t.Errorf("set aside: %v", err)
				}
				if !strings.Contains(log.String(), test.logged) {
					t.Errorf("log: %s", log.String())
				}
				// What could be read is in the new file.
				whole := slices.Contains([]string{"a record of nonsense"}, test.name)
				if _, ok := s.devices.peer(d.id()); ok != whole {
					t.Errorf("restored: %v, want %v", ok, whole)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				r.begin()
				if _, ok := r.s.devices.peer(d.id()); ok != whole {
					t.Errorf("restored again: %v, want %v", ok, whole)
				}
			})
		})
	}
}

// Whatever page of the state file is damaged, the server starts with what could be
// read, and keeps it.
func TestDamagedStateFile(t *testing.T) {
	const page = 4096
	withState(t, func(t *testing.T, r *rig) {
		r.online(1)
		if err := r.s.Close(); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(r.config.State)
		if err != nil {
			t.Fatal(err)
		}
		replaced := 0
		for at := 0; at < len(good); at += page {
			b := bytes.Clone(good)
			clear(b[at:min(at+page, len(b))])
			if err := os.WriteFile(r.config.State, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s := r.newServer()
			s.via = func(netip.AddrPort) sender { return r.sock }
			if err := s.openState(); err != nil {
				t.Fatalf("page at %d: %v", at, err)
			}
			s.serve()
			if err := s.Close(); err != nil {
				t.Errorf("page at %d: close: %v", at, err)
			}
			if os.Remove(r.config.State+asideSuffix) == nil {
				replaced++
			}
		}
		if replaced == 0 {
			t.Error("no damage was noticed")
		}
	})
}

// vault opens the rig's state file.
func (r *rig) vault(version uint32) *vault.Vault {
	r.t.Helper()
	v, err := vault.Open(vault.Config{Path: r.config.State, Key: r.self.Secret.LocalKey(stateLabel), Kind: stateKind, Version: version})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// A set of changes that has outgrown its bound is written whole, and what is no
// longer there is deleted.
func TestEverythingIsWritten(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		d, gone := r.online(1), r.online(2)
		time.Sleep(1100 * time.Millisecond)
		r.s.journal.limit = 0
		gone.send(&wire.Goodbye{})
		late := r.online(3)
		time.Sleep(1100 * time.Millisecond)
		r.crash()
		for _, x := range []*dev{d, gone, late} {
			if _, ok := r.s.devices.peer(x.id()); ok != (x != gone) {
				t.Errorf("%v is registered: %v", x.id().Short(), ok)
			}
		}
		if n := r.s.Stats().Objects; n != 1 {
			t.Errorf("%d objects", n)
		}
	})
}

// A disk that is full does not stop the server, and what was not written is tried
// again.
func TestWriteFails(t *testing.T) {
	withState(t, func(t *testing.T, r *rig) {
		synctest.Wait()
		r.s.journal.vault.Close()
		d := r.online(1)
		time.Sleep(3500 * time.Millisecond)
		if n := r.s.Stats().StateErrors; n != 3 {
			t.Errorf("%d writes failed", n)
		}
		one(t, wire.ParsePong, d.ping(0))
		r.s.journal.mu.Lock()
		defer r.s.journal.mu.Unlock()
		if _, ok := r.s.journal.devices[d.id()]; !ok {
			t.Error("not tried again")
		}
	})
}
