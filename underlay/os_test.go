package underlay_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/bdtnet/bdt/underlay"
	"github.com/bdtnet/bdt/underlay/underlaytest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback runs the suite's tests on this machine's loopback interface.
func loopback(n underlay.Network) func(*testing.T, func(*testing.T, underlaytest.Hosts)) {
	h := underlaytest.Hosts{
		A: n, B: n,
		A4: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		B4: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
	}
	if c, err := n.ListenUDP(netip.MustParseAddrPort("[::1]:0")); err == nil {
		c.Close()
		h.A6, h.B6 = netip.IPv6Loopback(), netip.IPv6Loopback()
	}
	return func(t *testing.T, body func(*testing.T, underlaytest.Hosts)) { body(t, h) }
}

func TestOS(t *testing.T) { underlaytest.TestNetwork(t, loopback(underlay.OS())) }

func TestPlain(t *testing.T) { underlaytest.TestNetwork(t, loopback(underlay.Plain())) }

// A name that cannot exist (RFC 6761 section 6.4), and a lookup that is
// cancelled before it begins.
func TestLookupFails(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ips, err := underlay.OS().LookupNetIP(ctx, "host.invalid"); err == nil {
		t.Errorf("host.invalid resolved to %v", ips)
	}
}

func TestLookupLocalhost(t *testing.T) {
	ips, err := underlay.OS().LookupNetIP(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range ips {
		if !ip.IsLoopback() || ip.Is4In6() {
			t.Errorf("localhost is %v", ip)
		}
	}
}

// An address that is not this machine's (RFC 5737) cannot be bound.
func TestListenForeignAddress(t *testing.T) {
	for name, n := range map[string]underlay.Network{"OS": underlay.OS(), "plain": underlay.Plain()} {
		c, err := n.ListenUDP(netip.MustParseAddrPort("192.0.2.1:0"))
		if err == nil {
			c.Close()
			t.Errorf("%s: bound 192.0.2.1", name)
		}
		if unwrapped := errors.Unwrap(err); unwrapped == nil {
			t.Errorf("%s: %v hides its cause", name, err)
		}
	}
}

func ExampleOS() {
	conn, err := underlay.OS().ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	conn.WriteBatch([]underlay.Datagram{{Data: []byte("hello"), Addr: conn.LocalAddr()}})

	batch := []underlay.Datagram{{Data: make([]byte, 64<<10)}}
	if _, err := conn.ReadBatch(batch); err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", batch[0].Data)
	// Output: hello
}
