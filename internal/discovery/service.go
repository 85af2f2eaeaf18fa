package discovery

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/underlay"
)

const (
	// inboxSize bounds the beacons that wait for the owner; more are dropped.
	inboxSize = 64
	// maxBeacon is more than any beacon has bytes (wire.md §2).
	maxBeacon = 128
	// maxWanted bounds the ids that an announcement is compared with.
	maxWanted = 256
	// wantedLife is how old the list of those may be.
	wantedLife = time.Second
)

// Config is what a Service is made of.
type Config struct {
	ID        identity.ID
	Network   underlay.Network // an [underlay.Multicaster], or there is no discovery
	Listening []netip.AddrPort // the addresses that the stack's sockets are bound to

	// Silent has the device look for others, and never tell where it is.
	Silent bool

	// Send sends a packet from the stack's own socket of the address's family.
	Send func(to netip.AddrPort, b []byte) error
	// Wanted returns the devices to look out for beside those of Want. It does
	// not block.
	Wanted func() []identity.ID
	// Found is told where a device may be. It does not block, and is called on
	// the owner goroutine.
	Found func(id identity.ID, addr netip.AddrPort)

	Logger *slog.Logger
}

// A Service discovers. Its methods may be called concurrently.
type Service struct {
	cfg   Config
	multi underlay.Multicaster
	self  tagKey

	inbox   chan beacon
	wants   chan identity.ID
	changes chan struct{}
	cancel  context.CancelFunc
	tasks   sync.WaitGroup // the owner and the readers
	joined  atomic.Int32   // segments

	// owner
	schedule *schedule
	segments map[segmentKey]*segment
	nets     []netip.Prefix         // of all interfaces
	sought   map[identity.ID]tagKey // keys of whom Want has named, and of the list below
	listed   []identity.ID          // what Wanted has returned
	listedAt time.Time
}

// A beacon is a packet that came to a segment; nil: to the stack's own socket.
type beacon struct {
	segment *segment
	from    netip.AddrPort
	n       int
	b       [maxBeacon]byte
}

// Start starts a service; Close stops it. It returns nil if the network has no
// multicast: then the methods do nothing.
func Start(cfg Config) *Service {
	multi, ok := cfg.Network.(underlay.Multicaster)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Service{
		cfg:      cfg,
		multi:    multi,
		self:     newTagKey(cfg.ID),
		inbox:    make(chan beacon, inboxSize),
		wants:    make(chan identity.ID, maxSeeks),
		changes:  make(chan struct{}, 1),
		cancel:   cancel,
		schedule: newSchedule(cfg.ID, time.Now()),
		segments: make(map[segmentKey]*segment),
		sought:   make(map[identity.ID]tagKey),
	}
	s.refresh()
	s.tasks.Go(func() { s.run(ctx) })
	return s
}

// Close stops the service and waits for its goroutines.
func (s *Service) Close() {
	if s == nil {
		return
	}
	s.cancel()
	s.tasks.Wait()
}

// Active reports whether there is a network to look on.
func (s *Service) Active() bool { return s != nil && s.joined.Load() > 0 }

// Want has the service ask for a device. More than can be asked for at a time
// are left out.
func (s *Service) Want(id identity.ID) {
	if s == nil {
		return
	}
	select {
	case s.wants <- id:
	default:
	}
}

// Changed tells that the interfaces or their addresses have changed.
func (s *Service) Changed() {
	if s == nil {
		return
	}
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// HandleAnnounce takes an Announce that came to the stack's own socket: an
// answer. It does not block, and does not retain b.
func (s *Service) HandleAnnounce(b []byte, from netip.AddrPort) {
	if s != nil {
		s.post(nil, b, from)
	}
}

func (s *Service) post(g *segment, b []byte, from netip.AddrPort) {
	if len(b) > maxBeacon {
		return
	}
	in := beacon{segment: g, from: from, n: len(b)}
	copy(in.b[:], b)
	select {
	case s.inbox <- in:
	default: // as by a full socket buffer
	}
}

// run is the owner.
func (s *Service) run(ctx context.Context) {
	defer s.leaveAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-s.inbox:
			s.hear(time.Now(), &in)
			continue // nothing is due earlier for it
		case id := <-s.wants:
			s.schedule.want(time.Now(), id)
		case <-s.changes:
			s.refresh()
			s.schedule.changed(time.Now())
		case <-timer.C:
		}
		s.step(time.Now())
		timer.Reset(time.Until(s.schedule.next()))
	}
}

// step sends what is due.
func (s *Service) step(now time.Time) {
	announce, ids := s.schedule.poll(now)
	if announce {
		s.refresh() // a network that could not be joined may be ready now
		s.announce()
	}
	for _, id := range ids {
		key := newTagKey(id)
		for _, g := range s.segments {
			if addrs, _ := g.get(); len(addrs) > 0 {
				s.send(g, key.query(addrs))
			}
		}
	}
}

func (s *Service) announce() {
	if s.cfg.Silent {
		return
	}
	for _, g := range s.segments {
		if addrs, _ := g.get(); len(addrs) > 0 {
			s.send(g, s.self.announce(addrs))
		}
	}
}

func (s *Service) send(g *segment, b []byte) {
	if _, err := g.conn.WriteBatch([]underlay.Datagram{{Data: b, Addr: g.group}}); err != nil {
		s.cfg.Logger.Debug("cannot send to a group", "interface", g.ifname, "err", err)
	}
}

// hear handles a beacon.
func (s *Service) hear(now time.Time, in *beacon) {
	b := in.b[:in.n]
	zone, nets := in.from.Addr().Zone(), s.nets
	if in.segment != nil {
		zone, nets = in.segment.ifname, nil
		_, nets = in.segment.get()
	}
	if _, ok := onLink(in.from, nets, zone); !ok || !s.schedule.heard.allow(now, in.from.Addr()) {
		return
	}
	if m, err := wire.ParseQuery(b); err == nil {
		if in.segment != nil && !s.cfg.Silent && s.self.made(b) && s.schedule.answers.take(now) {
			s.answer(in.segment, m, len(b))
		}
		return
	}
	m, err := wire.ParseAnnounce(b)
	if err != nil {
		return
	}
	id, ok := s.recognise(now, b)
	if !ok {
		return
	}
	s.schedule.found(id)
	for _, a := range m.Addrs {
		if a, ok := onLink(a, nets, zone); ok {
			s.cfg.Found(id, a)
		}
	}
}

// answer tells who asks for this device, at the first of its addresses that is on
// the segment, where it is. The answer has addresses of the families that the
// asker has, and is no longer than the question, of size bytes.
func (s *Service) answer(g *segment, m wire.Query, size int) {
	own, nets := g.get()
	var addrs []netip.AddrPort
	for _, a := range own {
		if slices.ContainsFunc(m.Addrs, func(q netip.AddrPort) bool { return q.Addr().Is4() == a.Addr().Is4() }) {
			addrs = append(addrs, a)
		}
	}
	for ; len(addrs) > 0; addrs = addrs[:len(addrs)-1] {
		b := s.self.announce(addrs)
		if len(b) > size {
			continue
		}
		for _, a := range m.Addrs {
			if to, ok := onLink(a, nets, g.ifname); ok && s.cfg.Send(to, b) == nil {
				return
			}
		}
		return
	}
}

// recognise returns whose announcement b is, if it is somebody's who is wanted.
func (s *Service) recognise(now time.Time, b []byte) (identity.ID, bool) {
	s.updateSought(now)
	for id, key := range s.sought {
		if key.made(b) {
			return id, true
		}
	}
	return identity.ID{}, false
}

// updateSought brings the keys of those who are wanted up to date, at most once a
// second.
func (s *Service) updateSought(now time.Time) {
	if now.Sub(s.listedAt) >= wantedLife || s.listedAt.IsZero() {
		s.listed, s.listedAt = s.cfg.Wanted(), now
		s.listed = s.listed[:min(len(s.listed), maxWanted)]
		for id := range s.sought {
			if s.schedule.seeks[id] == nil && !slices.Contains(s.listed, id) {
				delete(s.sought, id)
			}
		}
	}
	add := func(id identity.ID) {
		if _, ok := s.sought[id]; !ok && len(s.sought) < maxWanted+maxSeeks {
			s.sought[id] = newTagKey(id)
		}
	}
	for _, id := range s.listed {
		add(id)
	}
	for id := range s.schedule.seeks {
		add(id)
	}
}

// refresh joins the groups where that is new, and leaves what is gone.
func (s *Service) refresh() {
	interfaces, err := s.cfg.Network.Interfaces()
	if err != nil {
		s.cfg.Logger.Debug("interfaces are not known", "err", err)
		return
	}
	s.nets = nil
	for _, i := range interfaces {
		if i.Up && !i.Loopback {
			s.nets = append(s.nets, i.Prefixes...)
		}
	}
	wanted := make(map[segmentKey]bool)
	for _, g := range wantedSegments(interfaces, s.cfg.Listening) {
		wanted[g.key()] = true
		if have := s.segments[g.key()]; have != nil && !have.dead.Load() {
			have.set(g.addrs, g.nets)
			continue
		} else if have != nil {
			s.leave(have)
		}
		s.join(g)
	}
	for key, g := range s.segments {
		if !wanted[key] {
			s.leave(g)
		}
	}
	s.joined.Store(int32(len(s.segments)))
}

func (s *Service) join(g *segment) {
	conn, err := s.multi.ListenMulticast(g.ifname, g.group)
	if err != nil {
		s.cfg.Logger.Debug("cannot join a group", "interface", g.ifname, "group", g.group, "err", err)
		return
	}
	g.conn = conn
	s.segments[g.key()] = g
	s.tasks.Go(func() { s.read(g) })
}

// read is the reader of a segment. It ends when the segment is left, or the network
// takes its socket away.
func (s *Service) read(g *segment) {
	defer g.dead.Store(true)
	var buf [maxBeacon + 1]byte
	for {
		ds := []underlay.Datagram{{Data: buf[:]}}
		n, err := g.conn.ReadBatch(ds)
		if err != nil {
			return
		}
		for _, d := range ds[:n] {
			s.post(g, d.Data, d.Addr)
		}
	}
}

func (s *Service) leave(g *segment) {
	g.conn.Close()
	delete(s.segments, g.key())
}

func (s *Service) leaveAll() {
	for _, g := range s.segments {
		s.leave(g)
	}
	s.joined.Store(0)
}
