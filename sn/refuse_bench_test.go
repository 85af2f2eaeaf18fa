package sn

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/underlay"
)

// refuseServer is set for the process that serves BenchmarkRefuseOverSockets.
const refuseServer = "BDT_SN_BENCH_SERVER"

// TestServeRefusals is no test, but the far end of BenchmarkRefuseOverSockets: it
// serves until its input ends, and writes what it has done and what it took.
func TestServeRefusals(t *testing.T) {
	if os.Getenv(refuseServer) == "" {
		t.Skip("the far end of a benchmark")
	}
	s, err := Open(Config{
		Local:  newLocal(t, 1<<30, identity.ID{}),
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Limits: Limits{Handshakes: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fmt.Printf("listening %s\n", s.Addrs()[0])
	began := cpuTime()
	if _, err := bufio.NewReader(os.Stdin).ReadByte(); err == nil {
		t.Error("input")
	}
	st := s.Stats()
	fmt.Printf("refused %d %d %d\n", st.Cookies, st.Handshakes, int64(cpuTime()-began))
}

// BenchmarkRefuseOverSockets measures what refusing initiations costs the process of
// a server, sockets included: each has a right mac1, and earns a cookie. Run it with
// -benchtime 300000x.
func BenchmarkRefuseOverSockets(b *testing.B) {
	cmd := exec.Command(os.Args[0], "-test.run", "^TestServeRefusals$", "-test.v")
	cmd.Env = append(os.Environ(), refuseServer+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Process.Kill() // fails if it has ended
	out := bufio.NewScanner(pipe)
	line := func(prefix string) string {
		for out.Scan() {
			if rest, ok := strings.CutPrefix(out.Text(), prefix); ok {
				return rest
			}
		}
		b.Fatalf("no line %q", prefix)
		return ""
	}
	to := netip.MustParseAddrPort(line("listening "))
	sock, err := underlay.OS().ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer sock.Close()
	r := newRealRig(b, Limits{})
	first := r.dev(1).initiation().Packet()
	batch := make([]underlay.Datagram, 64)
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += len(batch) {
		for i := range batch {
			batch[i] = underlay.Datagram{Addr: to, Data: remac(first, uint32(sent+i+1), r.self.Device.ID())}
		}
		if _, err := sock.WriteBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond) // what is in the socket's buffer
	b.StopTimer()
	in.Close()
	var cookies, handshakes, cpu int64
	if _, err := fmt.Sscan(line("refused "), &cookies, &handshakes, &cpu); err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
	b.ReportMetric(float64(cookies)/time.Duration(cpu).Seconds(), "refusals/cpu-s")
	b.ReportMetric(float64(cookies)/float64(b.N), "arrived")
}
