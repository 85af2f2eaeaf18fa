package pionnet_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/transport/v5"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/netsim/pionnet"
)

// onNets runs f with the networks of two hosts on one link.
func onNets(t *testing.T, f func(t *testing.T, a, b *pionnet.Net)) {
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{Seed: 1})
		defer n.Close()
		ha, hb := n.Host("a"), n.Host("b")
		l := netsim.Must(n.Connect(ha, hb, netsim.LinkConfig{Delay: time.Millisecond}, "198.51.100.1/24", "2001:db8::1/64"))
		for _, addr := range []string{"203.0.113.1/24", "2001:db8:1::1/64"} {
			if err := hb.AddAddr(l, addr); err != nil {
				t.Fatal(err)
			}
		}
		n.SetName("b.example.net", netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("203.0.113.1"))
		f(t, pionnet.New(ha), pionnet.New(hb))
	})
}

// TestUDP: sockets do what pion's libraries call.
func TestUDP(t *testing.T) {
	onNets(t, func(t *testing.T, a, b *pionnet.Net) {
		rx, err := b.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4zero, Port: 9})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := a.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 7}, &net.UDPAddr{IP: net.IPv4(203, 0, 113, 1), Port: 9})
		if err != nil {
			t.Fatal(err)
		}
		if tx.LocalAddr().String() != "198.51.100.1:7" || tx.RemoteAddr().String() != "203.0.113.1:9" {
			t.Errorf("from %v to %v", tx.LocalAddr(), tx.RemoteAddr())
		}
		buf := make([]byte, 16)
		tx.Write([]byte("one"))
		k, from, err := rx.ReadFromUDP(buf)
		if err != nil || string(buf[:k]) != "one" || from.Port != 7 {
			t.Errorf("%q from %v, %v", buf[:k], from, err)
		}
		tx.WriteMsgUDP([]byte("two"), nil, nil)
		k, oobn, _, from, err := rx.ReadMsgUDP(buf, nil)
		if err != nil || string(buf[:k]) != "two" || oobn != 0 || from == nil {
			t.Errorf("%q from %v, %v", buf[:k], from, err)
		}
		rx.WriteToUDP([]byte("three"), from)
		rx.WriteMsgUDP([]byte("four"), nil, from)
		for _, want := range []string{"three", "four"} {
			if k, err := tx.Read(buf); err != nil || string(buf[:k]) != want {
				t.Errorf("%q, %v, want %q", buf[:k], err, want)
			}
		}
		if _, _, err := rx.WriteMsgUDP([]byte("x"), []byte("x"), from); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("control message: %v", err)
		}
		rx.SetReadDeadline(time.Now().Add(time.Second))
		if _, addr, err := rx.ReadFromUDP(buf); addr != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, %v, want the deadline", addr, err)
		}
		if err := errors.Join(rx.SetReadBuffer(1<<20), rx.SetWriteBuffer(1<<20)); err != nil {
			t.Error(err)
		}
		if _, err := a.DialUDP("udp", nil, nil); err == nil {
			t.Error("dialled nobody")
		}
	})
}

// TestTCP: so do connections.
func TestTCP(t *testing.T) {
	onNets(t, func(t *testing.T, a, b *pionnet.Net) {
		ln, err := b.ListenTCP("tcp", &net.TCPAddr{Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP("2001:db8:1::1"), Port: 80})
		if err != nil {
			t.Fatal(err)
		}
		d, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c.ReadFrom(strings.NewReader("hello"))
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(d); err != nil || string(got) != "hello" {
			t.Errorf("%q, %v", got, err)
		}
		err = errors.Join(c.SetKeepAlive(true), c.SetKeepAlivePeriod(time.Minute), c.SetKeepAlive(false), c.SetNoDelay(true),
			c.SetReadBuffer(1<<20), c.SetWriteBuffer(1<<20), c.SetLinger(0), c.CloseRead())
		if err != nil {
			t.Error(err)
		}
		ln.SetDeadline(time.Now().Add(time.Second))
		if c, err := ln.Accept(); c != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v, %v, want the deadline", c, err)
		}
		if _, err := a.DialTCP("tcp", nil, nil); err == nil {
			t.Error("dialled nobody")
		}
		ln.Close()

		dialer := a.CreateDialer(&net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1)}})
		start := time.Now()
		if _, err := dialer.Dial("tcp", "192.0.2.1:80"); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want a timeout after a second", err, time.Since(start))
		}
		if _, err := a.CreateDialer(&net.Dialer{LocalAddr: &net.UnixAddr{}}).Dial("tcp", "203.0.113.1:80"); err == nil {
			t.Error("dialled from a Unix address")
		}
		lc := b.CreateListenConfig(&net.ListenConfig{})
		l, err := lc.Listen(t.Context(), "tcp", ":81")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Dial("tcp4", "b.example.net:81"); err != nil {
			t.Error(err)
		}
		if c, err := l.Accept(); err != nil {
			t.Error(err)
		} else if _, ok := c.(transport.TCPConn); !ok {
			t.Errorf("accepted a %T", c)
		}
		if pc, err := lc.ListenPacket(t.Context(), "udp", ":81"); err != nil {
			t.Error(err)
		} else if _, ok := pc.(transport.UDPConn); !ok {
			t.Errorf("listens with a %T", pc)
		}
	})
}

// TestNames: addresses resolve as on the host, IPv4 first.
func TestNames(t *testing.T) {
	onNets(t, func(t *testing.T, a, _ *pionnet.Net) {
		u, err := a.ResolveUDPAddr("udp", "b.example.net:3478")
		if err != nil || u.String() != "203.0.113.1:3478" {
			t.Errorf("%v, %v", u, err)
		}
		c, err := a.ResolveTCPAddr("tcp6", "b.example.net:https")
		if err != nil || c.String() != "[2001:db8:1::1]:443" {
			t.Errorf("%v, %v", c, err)
		}
		i, err := a.ResolveIPAddr("ip4:icmp", "b.example.net")
		if err != nil || i.String() != "203.0.113.1" {
			t.Errorf("%v, %v", i, err)
		}
		if _, err := a.ResolveUDPAddr("udp", "nowhere.example.net:1"); !errors.As(err, new(*net.DNSError)) {
			t.Errorf("%v, want a DNSError", err)
		}
		if _, err := a.ResolveIPAddr("ip4", "2001:db8::1"); !errors.As(err, new(*net.AddrError)) {
			t.Errorf("%v, want an AddrError", err)
		}
	})
}

// TestInterfaces: they are the host's.
func TestInterfaces(t *testing.T) {
	onNets(t, func(t *testing.T, a, _ *pionnet.Net) {
		list, err := a.Interfaces()
		if err != nil || len(list) != 2 {
			t.Fatalf("%v, %v, want lo and eth0", list, err)
		}
		if list[0].Flags&net.FlagLoopback == 0 || list[1].Flags&(net.FlagLoopback|net.FlagUp) != net.FlagUp || list[1].MTU != 1500 {
			t.Errorf("%+v, %+v", list[0].Interface, list[1].Interface)
		}
		addrs, err := list[1].Addrs()
		if err != nil || len(addrs) != 2 || addrs[0].String() != "198.51.100.1/24" || addrs[1].String() != "2001:db8::1/64" {
			t.Errorf("%v, %v", addrs, err)
		}
		if i, err := a.InterfaceByIndex(list[1].Index); err != nil || i.Name != "eth0" {
			t.Errorf("%v, %v", i, err)
		}
		if i, err := a.InterfaceByName("lo"); err != nil || i.Index != 1 {
			t.Errorf("%v, %v", i, err)
		}
		if _, err := a.InterfaceByName("wlan0"); !errors.Is(err, transport.ErrInterfaceNotFound) {
			t.Errorf("%v, want transport.ErrInterfaceNotFound", err)
		}
	})
}
