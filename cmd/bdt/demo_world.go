package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/cmd/internal/keyfile"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/sn"
)

// A world is the network of the demo, in real time:
//
//	           SN  203.0.113.1, 2001:db8::1
//	            |
//	        internet
//	   ____/  |   |  \____
//	  /       |   |       \
//	NAT  firewall firewall NAT    each with its own link, so that
//	  \  /          \  /          one family can be cut
//	 alice           bob
type world struct {
	net        *netsim.Network
	core       *netsim.Router
	sn         *sn.Server
	alice, bob *site
}

// A site is a device, and its two ways to the internet.
type site struct {
	name   string
	nat    string // kind of NAT, for people
	wan    string // the NAT's address
	prefix string // of IPv6, behind the firewall
	host   *netsim.Host
	link4  *netsim.Link // NAT to internet
	link6  *netsim.Link // firewall to internet
	stack  *bdt.Stack
}

const (
	demoRate   = 150_000_000 // bits a second of each link to the internet
	demoDelay4 = 12 * time.Millisecond
	demoDelay6 = 8 * time.Millisecond // one way between a site and the internet
)

// newWorld builds the network and starts the SN; the caller closes it.
func newWorld(logger *slog.Logger) (*world, error) {
	w := &world{net: netsim.New(netsim.Config{Seed: 1})}
	w.core = w.net.Router("internet")
	host := w.net.Host("sn")
	netsim.Must(w.net.Connect(host, w.core, netsim.LinkConfig{Delay: time.Millisecond}, "203.0.113.1", "2001:db8::1"))
	device, err := newDevice("sn")
	if err == nil {
		w.sn, err = sn.Open(sn.Config{
			Network:   host,
			Local:     device,
			Advertise: fmt.Sprintf("203.0.113.1:%d", sn.DefaultPort),
			Logger:    logger.With("who", "sn"),
		})
	}
	if err != nil {
		w.net.Close()
		return nil, err
	}
	w.alice = &site{name: "alice", nat: "port-restricted NAT", wan: "198.51.100.1", prefix: "2001:db8:1::"}
	w.bob = &site{name: "bob", nat: "full-cone NAT", wan: "198.51.100.2", prefix: "2001:db8:2::"}
	w.connect(w.alice, netsim.PortRestricted, "198.18.1.2/24")
	w.connect(w.bob, netsim.FullCone, "198.18.2.2/24")
	return w, nil
}

// connect draws a site: IPv4 behind a NAT, IPv6 behind a stateful firewall.
func (w *world) connect(s *site, nat netsim.NATConfig, lan string) {
	s.host = w.net.Host(s.name)
	box, wall := w.net.NAT(s.name+"'s NAT", nat), w.net.NAT(s.name+"'s firewall", netsim.Firewall)
	link := netsim.LinkConfig{Rate: demoRate, Delay: demoDelay4}
	s.link4 = netsim.Must(w.net.Connect(box, w.core, link, s.wan))
	link.Delay = demoDelay6
	s.link6 = netsim.Must(w.net.Connect(wall, w.core, link, s.prefix+"/64"))
	netsim.Must(w.net.Connect(s.host, box, netsim.LinkConfig{}, lan))
	netsim.Must(w.net.Connect(s.host, wall, netsim.LinkConfig{}, s.prefix+"2/64"))
}

// open starts a site's device and waits until it is online.
func (w *world) open(ctx context.Context, s *site, logger *slog.Logger) error {
	device, err := newDevice(s.name)
	if err != nil {
		return err
	}
	s.stack, err = bdt.Open(bdt.Config{
		Device:  device,
		SNs:     []identity.Ref{w.sn.Ref()},
		Network: s.host,
		Logger:  logger.With("who", s.name),
	})
	if err != nil {
		return err
	}
	return s.stack.WaitOnline(ctx)
}

// cut cuts the link of a site that a path to an address runs over.
func (s *site) cut(remote netip.Addr) {
	if remote.Is4() {
		s.link4.SetDown(true)
	} else {
		s.link6.SetDown(true)
	}
}

// close stops everything.
func (w *world) close() {
	for _, s := range []*site{w.alice, w.bob} {
		if s.stack != nil {
			s.stack.Close()
		}
	}
	w.sn.Close()
	w.net.Close()
}

func newDevice(name string) (*identity.LocalDevice, error) {
	return keyfile.New(identity.DeviceDesc{}, identity.DeviceBody{Name: name})
}
