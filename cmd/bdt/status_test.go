package main

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/daemon"
	"github.com/bdtnet/bdt/cmd/internal/terminal"
	"github.com/bdtnet/bdt/identity"
)

var (
	someID   = identity.ID{0x44, 1}
	someTime = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	someAddr = netip.MustParseAddrPort("192.0.2.1:7")
	someRTT  = 12.5
	somePath = daemon.Path{Kind: "punched", State: "valid", Remote: &someAddr, RTT: &someRTT, Current: true}
)

func TestWriteStatus(t *testing.T) {
	var b strings.Builder
	err := writeStatus(terminal.New(&b, os.Getenv), &daemon.Status{
		ID: someID, Name: "home", Owner: &someID, PID: 7, Command: "bdt up", Started: someTime, Online: true, Ticket: "bdt:x",
		SNs:       []daemon.SN{{Ref: "a@b", State: "online", RTT: &someRTT, Observed: &someAddr}, {Ref: "c@d", State: "offline"}},
		Sockets:   []netip.AddrPort{someAddr},
		Endpoints: []netip.AddrPort{someAddr},
		Services:  []daemon.Service{{Name: "http", What: "127.0.0.1:80", Allow: "zone", Streams: 1}},
		Peers:     3, Connected: 1, BytesSent: 1 << 20, BytesRecv: 999,
	}, someTime.Add(90*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	id := someID.String()
	if want := `device       ` + id + `
name         home
owner        ` + id + `
state        online, for 1h30m ('bdt up', process 7)
super node   a@b  online, rtt 12.50 ms, sees this device at 192.0.2.1:7
super node   c@d  offline
socket       192.0.2.1:7
endpoint     192.0.2.1:7
service      http       127.0.0.1:80                 for zone, used once
peers        3, 1 of them connected, 1.0 MiB sent, 999 B received
ticket       bdt:x
`; b.String() != want {
		t.Errorf("status:\n%s\nwant:\n%s", b.String(), want)
	}
}

// What a stranger calls himself moves no cursor and breaks no table.
func TestWritePeers(t *testing.T) {
	var b strings.Builder
	err := writePeers(&b, []daemon.Peer{
		{ID: someID, Name: "a\x1b[2J\nb\u202e", State: "connected", Path: &somePath, RTT: &someRTT, BytesSent: 1536},
		{ID: someID, State: "idle"},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 4 || strings.ContainsAny(b.String(), "\x1b\u202e") || !strings.Contains(lines[1], "a?[2J?b?") ||
		!strings.Contains(lines[1], "punched 192.0.2.1:7  12.50 ms  1.5 KiB") || !strings.Contains(lines[2], "idle") {
		t.Errorf("peers:\n%s", b.String())
	}
}

func TestExplanation(t *testing.T) {
	dead := daemon.Path{Kind: "direct", State: "failed", Remote: &someAddr}
	got := explanation(terminal.New(new(strings.Builder), os.Getenv), &daemon.Explanation{
		Peer:  daemon.Peer{ID: someID, State: "connected", Path: &somePath},
		Paths: []daemon.Path{somePath, dead},
		Lines: []daemon.Event{{Time: someTime, Text: "tried"}, {Time: someTime.Add(12500 * time.Microsecond), Text: "won"}, {Time: someTime.Add(time.Hour), Text: "lost"}},
	}, someTime.Add(2*time.Hour))
	if want := someID.String() + `  connected
data uses the path punched 192.0.2.1:7

what was tried
  punched   valid      192.0.2.1:7                    12.50 ms  ← data
  direct    failed     192.0.2.1:7                           -

what was decided (beginning 2h0m ago)
       +0.0 ms  tried
      +12.5 ms  won
       +1h0m0s  lost
`; got != want {
		t.Errorf("explanation:\n%s\nwant:\n%s", got, want)
	}
	got = explanation(terminal.New(new(strings.Builder), os.Getenv), &daemon.Explanation{Peer: daemon.Peer{ID: someID, State: "idle"}, Paths: []daemon.Path{dead}}, someTime)
	if !strings.Contains(got, "no path works") {
		t.Errorf("explanation:\n%s", got)
	}
}

func TestWaiting(t *testing.T) {
	for _, tc := range []struct {
		s    daemon.Status
		e    daemon.Explanation
		want string
	}{
		{daemon.Status{}, daemon.Explanation{}, "no answer from the device"},
		{daemon.Status{SNs: []daemon.SN{{Ref: "a@b", State: "offline"}}}, daemon.Explanation{}, "no answer from super node a@b"},
		{daemon.Status{SNs: []daemon.SN{{Ref: "a@b", State: "offline"}, {Ref: "c@d", State: "online"}}}, daemon.Explanation{Lines: []daemon.Event{{Text: "called"}}},
			"no answer from super node a@b; the super node answers, but has not found the device (last: called)"},
		{daemon.Status{SNs: []daemon.SN{{Ref: "a@b", State: "online"}}}, daemon.Explanation{Paths: make([]daemon.Path, 3)}, "no answer on any of 3 paths"},
	} {
		if got := waiting(&tc.s, &tc.e); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestTexts(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m", 47 * time.Hour: "47h0m", 49 * time.Hour: "2 days"} {
		if got := roughly(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 30: "5.0 GiB", 1<<64 - 1: "16384.0 PiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
