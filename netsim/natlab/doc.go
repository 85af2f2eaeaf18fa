// Package natlab is the network simulator's counterpart of kernel parts: the
// same topologies, drawn with the same words, made of Linux network
// namespaces, veth pairs, bridges and nftables, in which real programs run.
//
// Like package netsim it draws a hierarchy; here from the top down, since a
// kernel has its routes set as the links come:
//
//	lab, err := natlab.New()
//	defer lab.Close()
//	core, err := lab.Router("core")
//	sn, err := lab.Host("sn")
//	home, err := lab.NAT("home", netsim.PortRestricted)
//	alice, err := lab.Host("alice")
//	err = lab.Connect(sn, core, netsim.LinkConfig{}, "203.0.113.2")
//	err = lab.Connect(home, core, netsim.LinkConfig{}, "198.51.100.2")
//	err = lab.Connect(alice, home, netsim.LinkConfig{}, "198.18.1.2/24")
//	server, err := sn.Start(nil, "bdt-sn", "--listen", "203.0.113.2:8443")
//	ready, err := server.Ready(ctx)
//	ref := ready["ref"]
//
// A namespace has no name. One thread of this process lives in it and
// keeps it alive, so that runs do not meet, and nothing is left behind when the
// process ends, however it ends. The machine's own network and its settings
// are never touched.
//
// What the kernel does not do is an error, not an approximation: [CheckNAT] and
// [CheckLink] say why, on any system. [Beside] lists what is left out since it
// makes no difference to who reaches whom.
//
// A lab takes Linux, root, iproute2 and nftables; elsewhere [New] returns an error.
// The tests are behind the build tag natlab for that: make nat-lab.
package natlab
