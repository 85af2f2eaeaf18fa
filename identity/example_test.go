package identity_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// The examples use fixed seeds and times, so that they print the same each
// time. A program uses GenerateSecret and time.Now.
var (
	aliceSecret  = identity.SecretFromSeed([32]byte{1})
	laptopSecret = identity.SecretFromSeed([32]byte{2})
	now          = time.UnixMilli(1_790_000_000_000)
)

func newAlice() *identity.People {
	alice, err := identity.NewPeople(aliceSecret, identity.PeopleDesc{UniqueID: [16]byte{1}}, identity.PeopleBody{
		Updated:    uint64(now.UnixMilli()),
		ValidUntil: uint64(now.AddDate(1, 0, 0).UnixMilli()),
		Name:       "alice",
	})
	if err != nil {
		log.Fatal(err)
	}
	return alice
}

func newLaptop() *identity.Device {
	laptop, err := identity.NewDevice(laptopSecret, identity.DeviceDesc{
		Owner:    newAlice().ID(),
		UniqueID: [16]byte{2},
	}, identity.DeviceBody{
		Updated:   uint64(now.UnixMilli()),
		Name:      "laptop",
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4433")},
	})
	if err != nil {
		log.Fatal(err)
	}
	return laptop
}

func ExampleNewDevice() {
	device, err := identity.NewDevice(identity.GenerateSecret(), identity.DeviceDesc{}, identity.DeviceBody{
		Updated:  uint64(time.Now().UnixMilli()),
		Name:     "laptop",
		Versions: []uint16{1},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(device.ID().Type(), device.Name(), len(device.ID().String()))
	// Output: device laptop 44
}

// Whoever receives a device checks it by its id and needs to trust nobody.
func ExampleParseDevice() {
	wanted, received := newLaptop().ID(), bytes.Clone(newLaptop().Bytes())

	device, err := identity.ParseDevice(received)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(device.ID() == wanted, device.Endpoints())

	received[len(received)-1] ^= 1
	_, err = identity.ParseDevice(received)
	fmt.Println(errors.Is(err, identity.ErrSignature), err)
	// Output:
	// true [192.0.2.1:4433]
	// true identity: device: signature does not verify
}

// A device joins its owner's zone with a signature of the owner's.
func ExamplePeople_Member() {
	alice, laptop := newAlice(), newLaptop()
	fmt.Println(errors.Is(alice.Member(laptop, now), identity.ErrNoMembership))

	// On the owner's machine:
	signature, err := alice.SignMembership(aliceSecret, laptop)
	if err != nil {
		log.Fatal(err)
	}
	// On the laptop:
	laptop, err = laptop.Join(laptopSecret, alice, signature, laptop.NextUpdate(now))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(alice.Member(laptop, now))

	// Later, stolen:
	body := alice.Body()
	body.Updated = alice.NextUpdate(now)
	body.Revoked = []identity.ID{laptop.ID()}
	if alice, err = alice.Update(aliceSecret, body); err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(alice.Member(laptop, now), identity.ErrRevoked))
	// Output:
	// true
	// <nil>
	// true
}

// Who keeps objects by id replaces them by newer versions only.
func ExampleCheckSuccessor() {
	held := newLaptop()
	body := held.Body()
	body.Updated++
	next, err := held.Update(laptopSecret, body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(identity.CheckSuccessor(held, next))
	fmt.Println(errors.Is(identity.CheckSuccessor(next, held), identity.ErrRolledBack))
	// Output:
	// <nil>
	// true
}

func ExampleSaveDevice() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "device.key")

	local := &identity.LocalDevice{Secret: laptopSecret, Device: newLaptop()}
	if err := identity.SaveDevice(path, local); err != nil {
		log.Fatal(err)
	}
	loaded, err := identity.LoadDevice(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(loaded.Device.Name(), loaded.Secret)
	// Output: laptop identity.Secret(redacted)
}

func ExampleParseTicket() {
	ticket := identity.Ticket{
		ID:        newLaptop().ID(),
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4433")},
		Service:   "ssh",
	}
	fmt.Println(ticket)

	parsed, err := identity.ParseTicket(ticket.String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(parsed.Peer() == ticket.ID, parsed.Service)
	// Output:
	// bdt:5aSixgM7L6bgUuSwJEygGJJ39Ai4X9xiLQnSmtCDFX4P?ep=192.0.2.1:4433&s=ssh
	// true ssh
}

func ExampleParseRef() {
	sn := newLaptop().ID()
	ref, err := identity.ParseRef(sn.String() + "@SN1.example.net:4433")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ref.ID == sn, ref.Addr)
	// Output: true sn1.example.net:4433
}

func ExampleChunkID() {
	id := identity.ChunkID([]byte("hello"))
	n, _ := identity.ChunkLen(id)
	fmt.Println(id, n)
	// Output: 7C8WUZpA6TxsJtdiQeE9Ug96pPSaGwhY4qjb2Q17v2mZ 5
}
