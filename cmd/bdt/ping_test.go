package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/internal/daemon"
)

func TestPongs(t *testing.T) {
	remote := netip.MustParseAddrPort("192.0.2.1:7")
	path := daemon.Path{Kind: "punched", Remote: &remote}
	pongs := []pong{
		{1, path, 12_345 * time.Microsecond, nil},
		{2, path, 0, errors.New("lost")},
		{3, daemon.Path{}, 0, errors.New("lost again")},
		{4, path, 2 * time.Millisecond, nil},
	}
	var text, lines strings.Builder
	var sum summary
	for _, p := range pongs {
		sum.add(p)
		p.write(&text, false)
		p.write(&lines, true)
	}
	if want := `   1  punched  192.0.2.1:7              12.35 ms
   2  no answer: lost
   3  no answer: lost again
   4  punched  192.0.2.1:7              2.00 ms
`; text.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", &text, want)
	}
	if want := `{"seq":1,"path":"punched","addr":"192.0.2.1:7","rtt_ms":12.345}
{"seq":2,"path":"punched","addr":"192.0.2.1:7","error":"lost"}
{"seq":3,"error":"lost again"}
{"seq":4,"path":"punched","addr":"192.0.2.1:7","rtt_ms":2}
`; lines.String() != want {
		t.Errorf("JSON:\n%s\nwant:\n%s", &lines, want)
	}
	if got, want := sum.String(), "2 of 4 answered, rtt min 2.00 ms, mean 7.17 ms, max 12.35 ms"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
	if sum.last == nil || sum.last.Error() != "lost again" {
		t.Errorf("last error %v", sum.last)
	}
	if got, want := (summary{sent: 1}).String(), "0 of 1 answered"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
}
