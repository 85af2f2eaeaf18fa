package pcap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/underlay"
)

// record has a host behind a NAT send three datagrams, and returns the capture of it.
func record(t *testing.T) []byte {
	var file bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		n := netsim.New(netsim.Config{})
		w := NewWriter(&file)
		n.Capture(w.Network("", time.Now()))
		a, nat, z := n.Host("a"), n.NAT("nat", netsim.PortRestricted), n.Host("z")
		netsim.Must(n.Connect(a, nat, netsim.LinkConfig{Delay: time.Millisecond}, "198.18.0.1/24"))
		r := n.Router("r")
		netsim.Must(n.Connect(nat, r, netsim.LinkConfig{Delay: time.Millisecond}, "198.51.100.1"))
		netsim.Must(n.Connect(z, r, netsim.LinkConfig{Delay: 250 * time.Nanosecond}, "203.0.113.1", "2001:db8::1"))
		c := netsim.Must(a.ListenUDP(netip.MustParseAddrPort("0.0.0.0:7")))
		for _, s := range []string{"", "a", "four"} {
			if _, err := c.WriteBatch([]underlay.Datagram{{Addr: netip.MustParseAddrPort("203.0.113.1:9"), Data: []byte(s)}}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		n.Close()
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		// Each passes three links; the answer, that nothing listens, passes them back.
		if w.Packets() != 18 {
			t.Errorf("%d packets", w.Packets())
		}
	})
	return file.Bytes()
}

// TestWriter reads a file block by block.
func TestWriter(t *testing.T) {
	file := record(t)
	le := binary.LittleEndian
	var interfaces, packets int
	var times []uint64
	for first := true; len(file) > 0; first = false {
		kind, length := le.Uint32(file), le.Uint32(file[4:])
		if length%4 != 0 || int(length) > len(file) || le.Uint32(file[length-4:]) != length {
			t.Fatalf("block %x of %d bytes, %d are left", kind, length, len(file))
		}
		body := file[8 : length-4]
		switch kind {
		case blockSection:
			if !first || le.Uint32(body) != byteOrderMagic || le.Uint16(body[4:]) != 1 {
				t.Error("a wrong section")
			}
		case blockInterface:
			interfaces++
			if le.Uint16(body) != linkTypeRaw {
				t.Error("a wrong type of link")
			}
		case blockPacket:
			packets++
			if int(le.Uint32(body)) >= interfaces {
				t.Error("a packet of an unknown interface")
			}
			times = append(times, uint64(le.Uint32(body[4:]))<<32|uint64(le.Uint32(body[8:])))
			ip := body[20:][:le.Uint32(body[12:])]
			if ip[0] != 0x45 || int(binary.BigEndian.Uint16(ip[2:])) != len(ip) {
				t.Errorf("a packet begins with %x", ip[:4])
			}
		default:
			t.Errorf("block %x", kind)
		}
		file = file[length:]
	}
	if interfaces != 3 || packets != 18 {
		t.Errorf("%d interfaces, %d packets", interfaces, packets)
	}
	begin := uint64(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	for i, want := range []uint64{0, 1e6, 2e6, 2e6 + 250} {
		if times[i] != begin+want {
			t.Errorf("packet %d is at %d ns, want %d", i, times[i]-begin, want)
		}
	}
}

// TestWireshark has tshark read a file, where there is one: it finds nothing wrong.
func TestWireshark(t *testing.T) {
	if testing.Short() {
		t.Skip("starts another program")
	}
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	c := exec.Command(tshark, "-r", "-", "-n", "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		"-T", "fields", "-e", "frame.interface_name", "-e", "_ws.col.Protocol", "-e", "ip.src", "-e", "udp.length", "-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "ip.checksum.status", "-e", "udp.checksum.status")
	c.Stdin = bytes.NewReader(record(t))
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		t.Fatalf("%v: %s", err, exit.Stderr)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 18 {
		t.Fatalf("%d packets:\n%s", len(lines), out)
	}
	if first := strings.Split(lines[0], "\t"); first[0] != "a-nat" || first[2] != "198.18.0.1" || first[3] != "8" || first[6] != "1" || first[7] != "1" {
		t.Errorf("the first packet: %q", first)
	}
	if strings.Contains(string(out), "Malformed") {
		t.Errorf("malformed:\n%s", out)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestWriterFails: what cannot be written is told at the end.
func TestWriterFails(t *testing.T) {
	w := NewWriter(failing{})
	if err := w.Flush(); err == nil || err.Error() != "disk full" {
		t.Errorf("Flush = %v", err)
	}
}
