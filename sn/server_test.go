package sn

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v3"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/internal/wire"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

func TestOpenDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, host := n.Router("core"), n.Host("sn")
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, "203.0.113.1", "2001:db8::1"))
		local := newLocal(t, 1, identity.ID{})
		s, err := Open(Config{Network: host, Local: local})
		if err != nil {
			t.Fatal(err)
		}
		want := []netip.AddrPort{netip.MustParseAddrPort("[::]:8443"), netip.MustParseAddrPort("0.0.0.0:8443")}
		if !slices.Equal(s.Addrs(), want) {
			t.Errorf("listens on %v, want %v", s.Addrs(), want)
		}
		if got := s.Ref(); got.ID != local.Device.ID() || got.Addr != "[2001:db8::1]:8443" {
			t.Errorf("ref %v", got)
		}
		// A second server finds the ports in use.
		if _, err := Open(Config{Network: host, Local: local}); err == nil || !strings.Contains(err.Error(), "8443") {
			t.Errorf("second server: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
}

func TestRef(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		defer n.Close()
		core, host, alone := n.Router("core"), n.Host("sn"), n.Host("alone")
		netsim.Must(n.Connect(host, core, netsim.LinkConfig{}, "203.0.113.1"))
		any4, one4 := netip.MustParseAddrPort("0.0.0.0:9000"), netip.MustParseAddrPort("203.0.113.1:9001")
		for _, c := range []struct {
			host      *netsim.Host
			listen    []netip.AddrPort
			advertise string
			want      string
		}{
			{host, []netip.AddrPort{any4}, "sn.example:443", "sn.example:443"},
			{host, []netip.AddrPort{any4}, "", "203.0.113.1:9000"},
			{host, []netip.AddrPort{any4, one4}, "", "203.0.113.1:9001"},
			{alone, []netip.AddrPort{any4}, "", "localhost:9000"},
		} {
			s, err := Open(Config{Network: c.host, Local: newLocal(t, 1, identity.ID{}), Listen: c.listen, Advertise: c.advertise})
			if err != nil {
				t.Fatal(err)
			}
			if s.Ref().Addr != c.want {
				t.Errorf("listening on %v, advertising %q: %s, want %s", c.listen, c.advertise, s.Ref().Addr, c.want)
			}
			s.Close()
		}
		// An address that was asked for must be had.
		bad := []netip.AddrPort{any4, netip.MustParseAddrPort("203.0.113.77:1")}
		if _, err := Open(Config{Network: host, Local: newLocal(t, 1, identity.ID{}), Listen: bad}); err == nil {
			t.Error("no error for an address that the host does not have")
		}
	})
}

// The same over the sockets of the operating system: STUN, which tells what
// address the client has, and Describe.
func TestLoopback(t *testing.T) {
	local := newLocal(t, 1, identity.ID{})
	any := netip.MustParseAddrPort("127.0.0.1:0")
	s, err := Open(Config{Network: underlay.OS(), Local: local, Listen: []netip.AddrPort{any, any}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, a := range s.Addrs() {
		var d net.Dialer
		conn, err := d.DialContext(context.Background(), "udp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := stun.NewClient(conn)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Do(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint), func(e stun.Event) {
			var mapped stun.XORMappedAddress
			if e.Error != nil {
				t.Error(e.Error)
			} else if err := mapped.GetFrom(e.Message); err != nil || mapped.String() != conn.LocalAddr().String() {
				t.Errorf("mapped address %v, %v; want %v", mapped, err, conn.LocalAddr())
			}
		})
		if err != nil {
			t.Error(err)
		}
		c.Close()

		conn, err = d.DialContext(context.Background(), "udp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		ask := wire.Describe{Nonce: [8]byte{1}, ID: local.Device.ID()}
		if _, err := conn.Write(ask.Append(nil)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 1500)
		k, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := wire.ParseDescribed(buf[:k]); err != nil || string(m.Device) != string(local.Device.Bytes()) {
			t.Errorf("described %+v, %v", m, err)
		}
		conn.Close()
	}
	if st := s.Stats(); st.STUN != 2 || st.Describes != 2 {
		t.Errorf("stats %+v", st)
	}
}
