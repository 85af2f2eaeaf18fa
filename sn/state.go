package sn

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/noise"
	"github.com/bdtnet/bdt/internal/vault"
)

// The state file is what a server knows of its devices and of the directory,
// kept so that it outlives the process (spec §7).
const (
	stateKind    = "bdt-sn state"
	stateVersion = 2
	stateLabel   = "sn state file"
	// asideSuffix is what the name of a file gets that cannot be read.
	asideSuffix = ".bad"

	tableRun     = "run"
	tableDevices = "devices"
	tableObjects = "objects"
	tableBeats   = "beats"

	// flushInterval is how often what is new is written.
	flushInterval = time.Second
	// beatParts is in how many intervals the beats of all devices are written:
	// every device's once in 10 s.
	beatParts = 10
	// skipPerRun is the room for counters that each second, and at least each run
	// of the server, has: more packets than can be sealed between two writes.
	skipPerRun = 1 << 32
)

// keyRun is the record that holds the number of the last run.
var keyRun = []byte("boot")

// A journal is the state file, and what is yet to be written to it. A nil journal
// keeps nothing.
type journal struct {
	vault *vault.Vault
	// boot numbers the run: above that of all runs before that used the file, and
	// the clock in seconds if it is right, so that a file restored from a backup
	// does not repeat one.
	boot  uint64
	limit int // of each set

	mu      sync.Mutex
	devices map[identity.ID]struct{} // changed since they were written
	objects map[identity.ID]struct{}
	all     bool // too many to tell: write everything

	// Only the recorder uses these, and Close after it.
	part    int                  // of beatParts, written next
	failing bool                 // the last write failed
	empty   [registryShards]bool // no beats were in the shard when they were last written
}

// openJournal opens the state file. One that cannot be read, or not be written, is
// set aside.
func openJournal(cfg *Config) (*journal, error) {
	j, err := beginJournal(cfg)
	if errors.Is(err, vault.ErrDamaged) || errors.Is(err, vault.ErrVersion) {
		aside := cfg.State + asideSuffix
		cfg.Logger.Warn("cannot read the state file: starting without", "err", err, "kept", aside)
		if err := os.Rename(cfg.State, aside); err != nil {
			return nil, err
		}
		j, err = beginJournal(cfg)
	}
	return j, err
}

// beginJournal opens the state file and begins a run in it.
func beginJournal(cfg *Config) (*journal, error) {
	v, err := vault.Open(vault.Config{
		Path:    cfg.State,
		Key:     cfg.Local.Secret.LocalKey(stateLabel),
		Kind:    stateKind,
		Version: stateVersion,
	})
	if err != nil {
		return nil, err
	}
	j := &journal{
		vault:   v,
		boot:    uint64(max(time.Now().Unix(), 1)),
		limit:   2 * cfg.Limits.Devices,
		devices: make(map[identity.ID]struct{}),
		objects: make(map[identity.ID]struct{}),
	}
	err = v.Each(tableRun, func(key, value []byte) error {
		if string(key) == string(keyRun) && len(value) == 8 {
			if last := binary.BigEndian.Uint64(value); last < math.MaxInt64 {
				j.boot = max(j.boot, last+1)
			}
		}
		return nil
	})
	if err == nil {
		err = j.begin()
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return j, nil
}

// begin has the number of the run on the disk, before any packet is sealed in it.
func (j *journal) begin() error {
	return j.vault.Write([]vault.Change{{Table: tableRun, Key: keyRun, Value: binary.BigEndian.AppendUint64(nil, j.boot)}})
}

// touchDevice notes that a device is to be written, or deleted if it is no longer
// registered.
func (j *journal) touchDevice(id identity.ID) {
	if j != nil {
		j.touch(j.devices, id)
	}
}

// touchObject is touchDevice for an object of the directory.
func (j *journal) touchObject(id identity.ID) {
	if j != nil {
		j.touch(j.objects, id)
	}
}

func (j *journal) touch(set map[identity.ID]struct{}, id identity.ID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(set) < j.limit {
		set[id] = struct{}{}
	} else {
		j.all = true
	}
}

// take returns what is to be written, and forgets it.
func (j *journal) take() (devices, objects []identity.ID, all bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id := range j.devices {
		devices = append(devices, id)
	}
	for id := range j.objects {
		objects = append(objects, id)
	}
	all, j.all = j.all, false
	clear(j.devices)
	clear(j.objects)
	return devices, objects, all
}

// record is the recorder: it writes what is new each second.
func (s *Server) record() {
	timer := time.NewTimer(flushInterval)
	defer timer.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-timer.C:
		}
		j := s.journal
		from, to := j.part*registryShards/beatParts, (j.part+1)*registryShards/beatParts
		j.part = (j.part + 1) % beatParts
		_ = s.flush(from, to) // logged, and tried again
		timer.Reset(flushInterval)
	}
}

// flush writes what is new, and the beats of the devices in some shards.
func (s *Server) flush(from, to int) error {
	j := s.journal
	began := time.Now()
	var changes []vault.Change
	for i := from; i < to; i++ {
		// A shard that stays empty need not be written again.
		c, n := s.beats(i)
		if n > 0 || !j.empty[i] {
			changes = append(changes, c)
		}
		j.empty[i] = n == 0
	}
	devices, objects, all := j.take()
	if all {
		devices, objects = s.everything()
	}
	for _, id := range devices {
		changes = append(changes, vault.Change{Table: tableDevices, Key: id[:], Value: s.deviceRecord(id)})
	}
	for _, id := range objects {
		changes = append(changes, vault.Change{Table: tableObjects, Key: id[:], Value: s.objectRecord(id)})
	}
	err := j.vault.Write(changes)
	s.cfg.Metrics.StateWritten(len(devices)+len(objects), time.Since(began), err)
	if err == nil {
		j.failing = false
		return nil
	}
	s.count.stateErrors.Add(1)
	if !j.failing {
		j.failing = true
		s.cfg.Logger.Error("cannot write the state file: devices will have to register again after a restart", "file", s.cfg.State, "err", err)
	}
	for _, id := range devices {
		j.touchDevice(id)
	}
	for _, id := range objects {
		j.touchObject(id)
	}
	return err
}

// everything returns the ids of all that is in the tables or in the file.
func (s *Server) everything() (devices, objects []identity.ID) {
	s.devices.each(func(x *session, _ place) { devices = append(devices, x.id()) })
	objects = s.objects.ids()
	for table, list := range map[string]*[]identity.ID{tableDevices: &devices, tableObjects: &objects} {
		_ = s.journal.vault.Each(table, func(key, _ []byte) error { // the write will fail, too
			if len(key) == len(identity.ID{}) {
				*list = append(*list, identity.ID(key))
			}
			return nil
		})
	}
	return devices, objects
}

// wall returns a time since the server's start by the wall clock.
func (s *Server) wall(d time.Duration) int64 { return s.start.Add(d).Unix() }

// deviceRecord returns what is to be kept of a device, nil if it is not registered.
func (s *Server) deviceRecord(id identity.ID) []byte {
	p, ok := s.devices.peer(id)
	if !ok {
		return nil
	}
	via, ok := p.at.via.(interface{ LocalAddr() netip.AddrPort })
	if !ok {
		return nil
	}
	r := deviceRecord{
		boot:       s.journal.boot,
		heard:      s.wall(p.heard),
		instance:   p.instance,
		visibility: p.visibility,
		rtt:        p.rtt,
		via:        via.LocalAddr(),
		at:         p.at.addr,
		owner:      p.owner,
		descriptor: p.descriptor,
		candidates: p.candidates,
		assoc:      p.session.assoc(),
	}
	return r.Append(nil)
}

func (s *Server) objectRecord(id identity.ID) []byte {
	e, ok := s.objects.entry(id)
	if !ok {
		return nil
	}
	r := objectRecord{s.wall(e.until), e.from, e.object}
	return r.Append(nil)
}

// beats returns the beats of a shard, and has devices written whose keys have
// moved on. It returns how many there are, too.
func (s *Server) beats(shard int) (vault.Change, int) {
	r := beatRecord{boot: s.journal.boot}
	sh := &s.devices.shards[shard]
	sh.mu.Lock()
	for id, d := range sh.devices {
		x := d.session
		a := x.assoc()
		if e := a.Epoch(); e != x.keptEpoch {
			x.keptEpoch = e
			s.journal.touchDevice(id)
		}
		counter, next := a.Counters()
		r.beats = append(r.beats, beat{a.LocalIndex(), s.wall(x.heard), d.rtt, counter, next})
	}
	sh.mu.Unlock()
	key := binary.BigEndian.AppendUint16(nil, uint16(shard))
	return vault.Change{Table: tableBeats, Key: key, Value: r.Append(nil)}, len(r.beats)
}

// restore takes over what an earlier run has kept. It is called before any packet
// is handled. A record that does not parse, or a table that cannot be read to its
// end, costs nothing else: the error is returned when all is done.
func (s *Server) restore() error {
	began := time.Now()
	beats, failed := s.loadBeats()
	note := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	dropped := 0
	note(s.journal.vault.Each(tableDevices, func(key, value []byte) error {
		r, err := parseDeviceRecord(value)
		if err != nil || string(key) != string(idBytes(r.assoc.Remote())) {
			note(errors.Join(err, errRecord))
			return nil
		}
		if !s.restoreDevice(&r, beats[r.assoc.LocalIndex()]) {
			dropped++
			id := r.assoc.Remote()
			s.journal.touchDevice(id) // deletes it
			// As release does.
			s.restoreObject(id, &objectRecord{r.heard + int64(objectLife/time.Second), networkOf(r.at.Addr()), r.descriptor})
			s.journal.touchObject(id)
		}
		return nil
	}))
	note(s.journal.vault.Each(tableObjects, func(key, value []byte) error {
		r, err := parseObjectRecord(value)
		if err != nil || len(key) != len(identity.ID{}) {
			note(errors.Join(err, errRecord))
			return nil
		}
		if !s.restoreObject(identity.ID(key), &r) {
			s.journal.touchObject(identity.ID(key)) // deletes it
		}
		return nil
	}))
	restored := s.devices.quota.Len()
	s.count.restored.Add(uint64(restored))
	if restored+dropped > 0 {
		s.cfg.Logger.Info("took over the devices of an earlier run", "devices", restored, "expired", dropped, "took", time.Since(began))
	}
	return failed
}

// restoreObject stores an object that an earlier run has kept, and reports whether
// it did: not if it has expired, or there is no room.
func (s *Server) restoreObject(id identity.ID, r *objectRecord) bool {
	now := time.Since(s.start)
	until := time.Unix(r.until, 0).Sub(s.start)
	return until > now && s.objects.restore(id, entry{r.object, min(until, now+objectLife), r.from})
}

func idBytes(id identity.ID) []byte { return id[:] }

// A keptBeat is a beat, and the run that it was written in.
type keptBeat struct {
	beat
	boot uint64
}

// loadBeats returns all beats by index. An index may be there twice, if runs
// divided the devices otherwise: the later beat counts. With an error they are those
// that could be read.
func (s *Server) loadBeats() (map[uint32]keptBeat, error) {
	m := make(map[uint32]keptBeat)
	var bad error
	err := s.journal.vault.Each(tableBeats, func(_, value []byte) error {
		r, err := parseBeatRecord(value)
		if err != nil {
			bad = err
			return nil
		}
		for _, b := range r.beats {
			if held, ok := m[b.index]; !ok || held.boot < r.boot || held.boot == r.boot && held.counter < b.counter {
				m[b.index] = keptBeat{b, r.boot}
			}
		}
		return nil
	})
	return m, cmp.Or(bad, err)
}

// restoreDevice registers a device that an earlier run has kept, and reports
// whether it did: not if it was silent for too long, or there is no socket where
// its was.
func (s *Server) restoreDevice(r *deviceRecord, b keptBeat) bool {
	counter, next := r.assoc.Counters()
	if !advance(r.assoc, counter, next, s.journal.boot-r.boot) {
		return false
	}
	if b.index == r.assoc.LocalIndex() {
		r.heard = max(r.heard, b.heard)
		r.rtt = b.rtt
		if !advance(r.assoc, b.counter, b.next, s.journal.boot-b.boot) {
			return false
		}
	}
	via := s.via(r.via)
	// A clock that was set back must not keep a device for ever.
	heard := min(time.Unix(r.heard, 0).Sub(s.start), 0)
	if via == nil || time.Since(s.start)-heard > silence {
		return false
	}
	x := &session{
		phase:  registered,
		proven: true,
		at:     place{via, r.at},
		heard:  heard,
		floor:  unsettled,
	}
	x.keptEpoch = r.assoc.Epoch()
	x.keys.Store(r.assoc)
	if !s.sessions.Restore(r.assoc.LocalIndex(), x) {
		return false
	}
	if !s.devices.restore(&device{
		session:    x,
		instance:   r.instance,
		visibility: r.visibility,
		rtt:        r.rtt,
		owner:      r.owner,
		descriptor: r.descriptor,
		candidates: r.candidates,
	}) {
		s.sessions.Free(r.assoc.LocalIndex())
		return false
	}
	return true
}

// advance takes an association's counter beyond all that may have been used since
// it was kept, so many runs or seconds ago, and reports whether it could.
func advance(a *noise.Association, counter, next, runs uint64) bool {
	return counter < 1<<62 && runs < 1<<30 && a.Advance(counter+runs*skipPerRun, next) == nil
}

// socketAt returns the socket of an address, or else one of the same family and
// port, from which a device's NAT may take packets; nil if there is none.
func (s *Server) socketAt(a netip.AddrPort) sender {
	var near sender
	for _, sock := range s.sockets {
		own := sock.LocalAddr()
		if own == a {
			return sock
		}
		if near == nil && own.Port() == a.Port() && own.Addr().Is4() == a.Addr().Is4() {
			near = sock
		}
	}
	return near
}

// openState opens the state file and takes over what is in it.
func (s *Server) openState() error {
	if s.cfg.State == "" {
		return nil
	}
	j, err := openJournal(&s.cfg)
	if err != nil {
		return stateError(err)
	}
	s.journal = j
	if err := s.restore(); err != nil {
		if s.journal, err = j.replace(&s.cfg, err); err != nil {
			return stateError(err)
		}
	}
	return nil
}

// replace sets aside a file of which a part cannot be read, and returns the
// journal of a new one, into which all that was read is to be written.
func (j *journal) replace(cfg *Config, why error) (*journal, error) {
	aside := cfg.State + asideSuffix
	cfg.Logger.Warn("cannot read all of the state file: going on with what could be read", "err", why, "kept", aside)
	// One that is damaged does not close, and keeps its lock under the new name.
	if err := j.vault.Close(); err != nil && !errors.Is(err, vault.ErrDamaged) {
		return nil, err
	}
	if err := os.Rename(cfg.State, aside); err != nil {
		return nil, err
	}
	next, err := openJournal(cfg)
	if err != nil {
		return nil, err
	}
	next.boot, next.all = max(next.boot, j.boot), true
	if err := next.begin(); err != nil {
		next.vault.Close()
		return nil, err
	}
	return next, nil
}
