package bdt_test

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/wire"
)

// A rogueSN is an SN with keys that keeps to no rule. It does what an SN does for
// as long as it is told to.
type rogueSN struct {
	*rogue
	ref  identity.Ref
	stop chan struct{}
	done sync.WaitGroup

	mu        sync.Mutex
	shakes    bool // answers handshakes
	registers bool // answers registrations and pings
	index     uint32
	members   []*member                      // oldest first
	places    map[identity.ID]netip.AddrPort // of the devices that it knows of
	calls     []uint32                       // requests of Calls that wait
}

// A member is a device's session with the rogue.
type member struct {
	index uint32
	id    identity.ID
	at    netip.AddrPort
	assoc *noise.Association
}

// rogueSN puts a rogue SN on the core. Close it.
func (w *world) rogueSN(addr string) *rogueSN {
	r := &rogueSN{rogue: w.rogue(addr), stop: make(chan struct{})}
	r.ref = identity.Ref{ID: r.id(), Addr: addr + ":7777"}
	r.done.Go(func() {
		for {
			select {
			case b := <-r.inbox:
				r.handle(b)
			case <-r.stop:
				return
			}
		}
	})
	return r
}

func (r *rogueSN) close() {
	close(r.stop)
	r.done.Wait()
	r.rogue.close()
}

// behave says what it does as an SN should.
func (r *rogueSN) behave(shakes, registers bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shakes, r.registers = shakes, registers
}

// knows tells it where devices are.
func (r *rogueSN) knows(places map[identity.ID]netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.places = places
}

// member returns the newest session with a device that is at an address, if any.
func (r *rogueSN) member(at netip.AddrPort) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range slices.Backward(r.members) {
		if m.at == at {
			return m
		}
	}
	return nil
}

// pending returns the requests of the Calls that were not answered.
func (r *rogueSN) pending() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

func (r *rogueSN) handle(b []byte) {
	t, err := wire.ControlType(b)
	if err != nil {
		return
	}
	switch t {
	case wire.TypeDescribe:
		if m, err := wire.ParseDescribe(b); err == nil && m.ID == r.id() {
			d := wire.Described{Nonce: m.Nonce, Device: r.device.Device.Bytes()}
			for _, at := range r.everywhere() {
				r.send(nowhere, at, d.Append(nil))
			}
		}
	case wire.TypeInitiation:
		r.accept(b)
	case wire.TypeSealed:
		h, err := wire.ParseSealedHeader(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		i := slices.IndexFunc(r.members, func(m *member) bool { return m.index == h.Receiver })
		var m *member
		if i >= 0 {
			m = r.members[i]
		}
		r.mu.Unlock()
		if m == nil {
			return
		}
		if msg, err := m.assoc.Open(nil, b, time.Now()); err == nil && len(msg) > 0 {
			r.serve(m, msg)
		}
	}
}

// everywhere are the places of all who may be asking.
func (r *rogueSN) everywhere() []netip.AddrPort {
	return []netip.AddrPort{
		netip.AddrPortFrom(netip.MustParseAddr(aliceHost), fixedPort[0].Port()),
		netip.AddrPortFrom(netip.MustParseAddr(bobHost), fixedPort[0].Port()),
	}
}

func (r *rogueSN) accept(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.shakes {
		return
	}
	in, err := r.local.ReadInitiation(b)
	if err != nil {
		return
	}
	r.index++
	res, a, err := in.Accept(noise.Accept{Index: r.index, Stamp: uint64(time.Now().UnixMicro())})
	if err != nil {
		return
	}
	m := &member{index: r.index, id: in.Device.ID(), at: r.places[in.Device.ID()], assoc: a}
	r.members = append(r.members, m)
	r.send(nowhere, m.at, res)
}

// serve does what an SN does with a message, if it is to.
func (r *rogueSN) serve(m *member, msg []byte) {
	r.mu.Lock()
	registers := r.registers
	r.mu.Unlock()
	switch wire.MessageType(msg[0]) {
	case wire.MsgRegister:
		if q, err := wire.ParseRegister(msg); err == nil && registers {
			r.tell(m, &wire.Registered{Request: q.Request, Observed: m.at, Interval: 25 * time.Second})
		}
	case wire.MsgPing:
		if q, err := wire.ParsePing(msg); err == nil && registers {
			r.tell(m, &wire.Pong{Request: q.Request, Observed: m.at})
		}
	case wire.MsgCall:
		if q, err := wire.ParseCall(msg); err == nil {
			r.mu.Lock()
			r.calls = append(r.calls, q.Request)
			r.mu.Unlock()
		}
	}
}

// tell seals a message for a member.
func (r *rogueSN) tell(m *member, msg interface{ Append([]byte) []byte }) {
	r.seal(m.assoc, nowhere, m.at, msg.Append(nil))
}
