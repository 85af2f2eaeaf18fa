//go:build linux && natlab

package natlab

import (
	"maps"
	"strings"
	"syscall"
	"testing"
)

func TestProcess(t *testing.T) {
	alice := newLab(t).Host("alice")
	p := alice.Start("sh", "-c", "echo already id=0; echo ready id=x ref=y@z:1 rest; exec sleep 1000")
	if got, want := p.Ready(), map[string]string{"id": "x", "ref": "y@z:1"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	p.Stop()
	if s := p.cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v", p.cmd.ProcessState)
	}
	p.Stop()
}

func TestTranscript(t *testing.T) {
	text := "first\nready a=1\nready b=2\n"
	for cut := range text {
		tr := &transcript{ready: make(chan string, 1)}
		for _, part := range []string{text[:cut], text[cut:]} {
			if n, err := tr.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if got := <-tr.ready; got != "ready a=1" {
			t.Errorf("cut at %d: got %q", cut, got)
		}
		if tr.String() != text {
			t.Errorf("cut at %d: kept %q", cut, tr)
		}
	}
}

func TestTranscriptIsBounded(t *testing.T) {
	tr := &transcript{ready: make(chan string, 1)}
	for range 10 {
		tr.Write([]byte(strings.Repeat("x", keptOutput-1)))
	}
	tr.Write([]byte("end"))
	if len(tr.kept) > keptOutput || len(tr.line) > keptOutput || !strings.HasSuffix(tr.String(), "xend") {
		t.Errorf("keeps %d and %d bytes", len(tr.kept), len(tr.line))
	}
}
