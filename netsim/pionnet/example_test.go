package pionnet_test

import (
	"fmt"

	"github.com/pion/ice/v4"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/netsim/pionnet"
)

// An ICE agent whose network is a simulated host.
func Example() {
	n := netsim.New(netsim.Config{Seed: 1})
	defer n.Close()
	host := n.Host("alice")
	netsim.Must(n.Connect(host, n.Router("internet"), netsim.LinkConfig{}, "198.51.100.7"))

	agent, err := ice.NewAgentWithOptions(
		ice.WithNet(pionnet.New(host)),
		ice.WithNetworkTypes([]ice.NetworkType{ice.NetworkTypeUDP4}),
		ice.WithMulticastDNSMode(ice.MulticastDNSModeDisabled),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer agent.Close()
	done := make(chan struct{})
	agent.OnCandidate(func(c ice.Candidate) {
		if c == nil {
			close(done)
			return
		}
		fmt.Println(c.Type(), c.Address())
	})
	if err := agent.GatherCandidates(); err != nil {
		fmt.Println(err)
	}
	<-done
	// Output: host 198.51.100.7
}
