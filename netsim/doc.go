// Package netsim is an in-process network: hosts, switches, routers, NATs, NAT64s
// and firewalls joined by links with delay, jitter, loss, errors, rate, queue and MTU.
//
// A [Host] implements [underlay.Network], so the unmodified stack runs on it. It also
// dials and listens as package net does, over an emulated TCP and UDP, for other stacks.
// A network is a hierarchy drawn from the bottom up: [Network.Connect] joins a
// lower node to an upper one, gives the lower node its addresses, points its
// default route upwards, and tells the routers above how to get back. A NAT's
// addresses face up; whatever is connected below it is hidden behind them.
//
//	n := netsim.New(netsim.Config{Seed: 1})
//	defer n.Close()
//	core := n.Router("internet")
//	sn := n.Host("sn")
//	home := n.NAT("home", netsim.PortRestricted)
//	alice := n.Host("alice")
//	wan := netsim.LinkConfig{Delay: 10 * time.Millisecond}
//	netsim.Must(n.Connect(sn, core, wan, "203.0.113.1"))
//	netsim.Must(n.Connect(home, core, wan, "198.51.100.7"))
//	netsim.Must(n.Connect(alice, home, netsim.LinkConfig{}, "198.18.1.2/24"))
//
// # Time
//
// All motion happens on one goroutine, which sleeps on one timer until the
// next packet is due. It blocks on channels only, so a network made inside a
// testing/synctest bubble runs in virtual time, and any other runs in real
// time. A hop is timed from when the packet was due, not from when the
// goroutine woke, so lateness does not add up along a path.
//
// # Determinism
//
// Loss, jitter and all other chance are functions of (seed, link, flow, ordinal in
// the flow): a packet more in one flow changes nothing for another, and the content of
// packets, which holds fresh keys, never matters. Packets due at the same
// instant move in the order of link, flow and sending, whichever goroutine
// sent first. A link therefore propagates a packet first and makes its choices
// at the far end: at that instant everything sent together is there to be
// ordered. On links without delay that order is lost. A flow is what RFC 6437
// §1 calls one: protocol, source, destination, as seen on that link. So a link
// keeps the order of a flow, and of what was sent at different instants, unless
// jitter, reordering or a tamper function changes it. [Network.Hash] tells whether two
// runs were the same, and docs/netsim/determinism.md what repeats and what does not.
//
// # What is not here
//
// Of ICMP there are errors, but none of missing routes, and no echo. No fragmentation
// (DF is always set). No zones: an IPv6 host that is to have a link-local address is given one
// like any other. Multicast stays on its segment, and nobody asks for it (IGMP,
// MLD): a [Switch] floods.
package netsim
