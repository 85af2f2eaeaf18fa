package netsim_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// A host behind a NAT asks a server on the internet, here in real time. Inside
// a testing/synctest bubble the same code takes no time at all.
func Example() {
	n := netsim.New(netsim.Config{Seed: 1})
	defer n.Close()

	core := n.Router("internet")
	home := n.NAT("home", netsim.PortRestricted)
	alice, server := n.Host("alice"), n.Host("server")
	wan := netsim.LinkConfig{Delay: 2 * time.Millisecond}
	netsim.Must(n.Connect(server, core, wan, "203.0.113.1"))
	netsim.Must(n.Connect(home, core, wan, "198.51.100.7"))
	netsim.Must(n.Connect(alice, home, netsim.LinkConfig{}, "198.18.1.2/24"))

	ask := netsim.Must(alice.ListenUDP(netip.MustParseAddrPort("0.0.0.0:5000")))
	answer := netsim.Must(server.ListenUDP(netip.MustParseAddrPort("0.0.0.0:3478")))
	question := underlay.Datagram{Addr: netip.MustParseAddrPort("203.0.113.1:3478"), Data: []byte("who am I?")}
	if _, err := ask.WriteBatch([]underlay.Datagram{question}); err != nil {
		fmt.Println(err)
	}
	ds := []underlay.Datagram{{Data: make([]byte, 1500)}}
	if _, err := answer.ReadBatch(ds); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%s from %v\n", ds[0].Data, ds[0].Addr)
	// Output: who am I? from 198.51.100.7:5000
}
