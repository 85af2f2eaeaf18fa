// Package natlab is the network simulator's counterpart of kernel parts: the
// same topologies, drawn with the same words, made of Linux network
// namespaces, veth pairs, bridges and nftables, in which real programs run.
//
// Like package netsim it draws a hierarchy; here from the top down, since a
// kernel has its routes set as the links come:
//
//	lab := natlab.New(t)
//	core, sn := lab.Router("core"), lab.Host("sn")
//	home, alice := lab.NAT("home", netsim.PortRestricted), lab.Host("alice")
//	lab.Connect(sn, core, "203.0.113.2/24")
//	lab.Connect(home, core, "198.51.100.2/24")
//	lab.Connect(alice, home, "198.18.1.2/24")
//	server := sn.Start("bdt-sn", "--listen", "203.0.113.2:8443")
//	ref := server.Ready()["ref"]
//
// A namespace has no name. One thread of the test's process lives in it and
// keeps it alive, so that runs do not meet, and nothing is left behind when the
// process ends, however it ends. The machine's own network and its settings
// are never touched.
//
// What the kernel does not do is an error, not an approximation; [Lab.NAT]
// lists it.
//
// All but this comment is behind the build tag natlab, since it takes root,
// Linux, iproute2 and nftables: make nat-lab.
package natlab
