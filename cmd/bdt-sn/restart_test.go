package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// A daemon is a running bdt-sn.
type daemon struct {
	cmd   *exec.Cmd
	ready map[string]string // the words of its ready line
}

// startDaemon runs bdt-sn until it is ready. testscript.Main has put it into PATH.
func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{cmd: exec.Command("bdt-sn", args...), ready: map[string]string{}}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.cmd.Process.Kill() }) // fails if it has ended
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("no ready line: %v", err)
	}
	for word := range strings.FieldsSeq(line) {
		key, value, _ := strings.Cut(word, "=")
		d.ready[key] = value
	}
	go io.Copy(io.Discard, out) // until it ends
	return d
}

func (d *daemon) end(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil && s != syscall.SIGKILL {
		t.Errorf("after %v: %v", s, err)
	}
}

// metrics returns the page of metrics.
func (d *daemon) metrics(t *testing.T) string {
	t.Helper()
	res, err := http.Get("http://" + d.ready["metrics"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Devices of the real program are callable as soon as it is back: over real
// sockets, after SIGTERM and after SIGKILL. A newcomer, whom they do not know, calls.
func TestRestartOfTheProgram(t *testing.T) {
	key := filepath.Join(t.TempDir(), "sn.pem")
	d := startDaemon(t, "--key", key, "--listen", "127.0.0.1:0", "--stun-port", "-1")
	listen := d.ready["listen"]
	ref, err := identity.ParseRef(d.ready["ref"])
	if err != nil {
		t.Fatal(err)
	}
	open := func() *bdt.Stack {
		s, err := bdt.Open(bdt.Config{
			SNs:    []identity.Ref{ref},
			Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
			NoLAN:  true,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var devices []*bdt.Stack
	for range 3 {
		s := open()
		if _, err := s.ServeEcho(); err != nil {
			t.Fatal(err)
		}
		if err := s.WaitOnline(ctx); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, s)
	}
	// SIGTERM first: it has all that is new written, and SIGKILL finds it on the disk.
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		d.end(t, signal)
		d = startDaemon(t, "--key", key, "--listen", listen, "--stun-port", "-1", "--metrics", "127.0.0.1:0")
		began := time.Now()
		caller := open()
		for i, s := range devices {
			if _, err := caller.Ping(ctx, s.ID()); err != nil {
				t.Fatalf("after %v: device %d: %v", signal, i, err)
			}
		}
		t.Logf("after %v: %d devices answer a newcomer in %v", signal, len(devices), time.Since(began))
		// Nobody but the newcomer had to shake hands.
		page := d.metrics(t)
		if !strings.Contains(page, `bdt_sn_served_total{what="handshake"} 1`+"\n") ||
			strings.Contains(page, `bdt_sn_served_total{what="restored"} 0`+"\n") {
			t.Errorf("after %v: devices had to shake hands\n%s", signal, page)
		}
		caller.Close()
	}
	d.end(t, syscall.SIGTERM)
}
