package simulate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/sn"
)

// digest hashes a seed and words.
func digest(seed uint64, words ...string) (sum [32]byte) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint64(nil, seed))
	for _, s := range words {
		fmt.Fprintf(h, "%d %s", len(s), s)
	}
	h.Sum(sum[:0])
	return sum
}

// addSN makes the identity of an SN.
func (w *world) addSN(s *scenario.SuperNode) error {
	host := w.nodes[s.Host].host
	secret, unique := w.secret("sn", s.Name)
	d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: unique}, identity.DeviceBody{Name: s.Name, Updated: stamp()})
	if err != nil {
		return w.errorAt(s.Line, err)
	}
	listen := listenAddrs(s.Listen, host, scenario.DefaultPort)
	if len(listen) == 0 {
		return w.errorAt(s.Line, fmt.Errorf("the host %q has no address", s.Host))
	}
	ref, err := identity.NewRef(d.ID(), listen[0].String())
	if err != nil {
		return w.errorAt(s.Line, err)
	}
	for _, a := range listen {
		w.tracer.servers[a.Addr()] = true
	}
	w.sns[s.Name] = &superNode{SuperNode: s, host: host, local: &identity.LocalDevice{Secret: secret, Device: d}, ref: ref}
	return nil
}

// start runs an SN, which must not be running.
func (s *superNode) start(w *world) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return fmt.Errorf("%s runs already", s.Name)
	}
	server, err := sn.Open(sn.Config{
		Network: s.host, Local: s.local, Listen: listenAddrs(s.Listen, s.host, scenario.DefaultPort), Advertise: s.ref.Addr,
		Logger: w.opt.Logger.With("who", s.Name),
	})
	if err == nil {
		s.server = server
	}
	return err
}

// stop stops an SN, if it runs.
func (s *superNode) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		s.server.Close() // it keeps nothing that could fail to be written
		s.server = nil
	}
}

// addDevice makes the identity of a device.
func (w *world) addDevice(d *scenario.Device) error {
	x := &device{Device: d, host: w.nodes[d.Host].host}
	w.devices[d.Name] = x
	sns := d.SNs
	if len(sns) == 0 {
		for _, s := range w.file.SuperNodes {
			sns = append(sns, s.Name)
		}
	}
	for _, name := range sns {
		x.config.SNs = append(x.config.SNs, w.sns[name].ref)
	}
	if d.Count > 0 {
		return nil
	}
	pns := d.PNs
	if len(pns) == 0 && !d.NoPNs {
		for _, p := range w.file.ProxyNodes {
			pns = append(pns, p.Name)
		}
	}
	for _, name := range pns {
		x.config.PNs = append(x.config.PNs, w.pns[name].ref)
	}
	secret, unique := w.secret("device", d.Name)
	desc := identity.DeviceDesc{UniqueID: unique}
	body := identity.DeviceBody{Name: d.Name, Updated: stamp()}
	var owner *identity.LocalPeople
	if d.Owner != "" {
		var err error
		if owner, err = w.owner(d.Owner); err != nil {
			return w.errorAt(d.Line, err)
		}
		desc.Owner = owner.People.ID()
	}
	object, err := identity.NewDevice(secret, desc, body)
	if err == nil && owner != nil {
		object, err = enrol(secret, object, owner)
	}
	if err != nil {
		return w.errorAt(d.Line, err)
	}
	x.local = &identity.LocalDevice{Secret: secret, Device: object}
	x.config.Device, x.config.Network = x.local, x.host
	x.config.KeepAlive, x.config.NoLAN = d.KeepAlive, d.NoLAN
	x.config.Visibility = map[string]bdt.Visibility{"zone": bdt.VisibleToZone, "nobody": bdt.VisibleToNobody}[d.Visible]
	x.config.Logger = w.opt.Logger.With("who", d.Name)
	return nil
}

// start runs a device, which must not be running, with what it serves.
func (d *device) start(w *world) (*bdt.Stack, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stack != nil {
		return nil, fmt.Errorf("%s runs already", d.Name)
	}
	stack, err := bdt.Open(d.config)
	if err != nil {
		return nil, err
	}
	d.stack = stack
	if err := d.serve(w); err != nil {
		stack.Close()
		d.stack = nil
		return nil, err
	}
	return stack, nil
}

// serve offers the device's services.
func (d *device) serve(w *world) error {
	access := map[string]bdt.Access{"zone": bdt.OwnZone, "nobody": bdt.Nobody}[d.Access]
	if access == nil {
		access = bdt.Everyone
	}
	offers := d.Serve
	if len(offers) == 0 && !d.NoServe {
		offers = []string{scenario.Echo, scenario.Sink, scenario.Call}
	}
	for _, name := range offers {
		if name == scenario.Call {
			answer := func(_ context.Context, q *bdt.Question) ([]byte, error) { return q.Data, nil }
			if _, err := d.stack.HandleCalls(name, bdt.CallConfig{Handler: answer, Access: access, ReplaySafe: true}); err != nil {
				return err
			}
			continue
		}
		ln, err := d.stack.Listen(name, access)
		if err != nil {
			return err
		}
		serve := echo
		if name == scenario.Sink {
			serve = w.takers.take
		}
		d.serving.Go(func() { accept(ln, serve) })
	}
	return nil
}

// accept serves what a listener accepts, until it is closed, and waits for what is served.
func accept(ln *bdt.Listener, serve func(io.ReadWriter) error) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		streams.Go(func() {
			defer c.Close()
			serve(c) // what fails is the caller's to notice
		})
	}
}

// echo returns what it reads.
func echo(c io.ReadWriter) error {
	_, err := io.Copy(c, c)
	return err
}

// stop stops a device, if it runs.
func (d *device) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stack != nil {
		d.stack.Close() // which ends what it serves
		d.serving.Wait()
		d.stack = nil
	}
	if d.load != nil {
		d.load.Close()
		d.load = nil
	}
}

// running returns the stack of a device, which must run.
func (w *world) running(name string) (*device, *bdt.Stack, error) {
	d := w.devices[name]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stack == nil {
		return d, nil, fmt.Errorf("%s does not run", name)
	}
	return d, d.stack, nil
}

// startOne starts a device, an SN or a PN.
func (w *world) startOne(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	if x := w.sns[s.Target]; x != nil {
		return x.start(w)
	}
	if x := w.pns[s.Target]; x != nil {
		return x.start(w)
	}
	_, err := w.devices[s.Target].start(w)
	return err
}

// stopOne stops a device, an SN or a PN.
func (w *world) stopOne(_ context.Context, s *scenario.Step, _ *scenario.Outcome) error {
	if x := w.sns[s.Target]; x != nil {
		x.stop()
		return nil
	}
	if x := w.pns[s.Target]; x != nil {
		x.stop()
		return nil
	}
	w.devices[s.Target].stop()
	return nil
}

// owner returns an owner by its name, and makes it when it is first asked for.
func (w *world) owner(name string) (*identity.LocalPeople, error) {
	if o := w.owners[name]; o != nil {
		return o, nil
	}
	secret, unique := w.secret("owner", name)
	p, err := identity.NewPeople(secret, identity.PeopleDesc{UniqueID: unique}, identity.PeopleBody{
		Name: name, Updated: stamp(), ValidUntil: stamp() + uint64(validity.Milliseconds()),
	})
	if err != nil {
		return nil, err
	}
	o := &identity.LocalPeople{Secret: secret, People: p}
	w.owners[name] = o
	return o, nil
}

// nameOODs has the owners name the devices that answer for them, and gives the devices their
// owners' objects.
func (w *world) nameOODs() error {
	for name, o := range w.owners {
		body := o.People.Body()
		for _, d := range w.file.Devices {
			if d.OOD && d.Owner == name {
				body.OODs = append(body.OODs, w.devices[d.Name].local.Device.ID())
			}
		}
		if len(body.OODs) > 0 {
			body.Updated = o.People.NextUpdate(time.Now())
			p, err := o.People.Update(o.Secret, body)
			if err != nil {
				return fmt.Errorf("owner %s: %w", name, err)
			}
			o.People = p
		}
		for _, d := range w.devices {
			if d.Owner == name {
				d.config.Owner = o.People
			}
		}
	}
	return nil
}

// validity is how long the word of an owner counts: longer than any scenario.
const validity = 30 * 24 * time.Hour

// enrol makes a device a member of its owner's zone.
func enrol(secret *identity.Secret, d *identity.Device, o *identity.LocalPeople) (*identity.Device, error) {
	signature, err := o.People.SignMembership(o.Secret, d)
	if err != nil {
		return nil, err
	}
	return d.Join(secret, o.People, signature, d.NextUpdate(time.Now()))
}
