package sn_test

import (
	"fmt"
	"net/netip"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/sn"
)

func ExampleOpen() {
	secret := identity.GenerateSecret()
	device, err := identity.NewDevice(secret, identity.DeviceDesc{}, identity.DeviceBody{Updated: 1, Name: "my super node"})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := sn.Open(sn.Config{
		Local:     &identity.LocalDevice{Secret: secret, Device: device},
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Advertise: "sn.example.org:8443",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(server.Ref().Addr, server.Ref().ID == device.ID(), server.Stats().Devices)
	// Output: sn.example.org:8443 true 0
}
