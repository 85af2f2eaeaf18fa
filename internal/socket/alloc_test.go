//go:build !race

package socket

// The race detector makes sync.Pool drop a quarter of what it is given.

import "testing"

func TestSendDoesNotAllocate(t *testing.T) {
	s := open(t, Config{Local: loopback, Handler: newJournal()})
	var sink countingSink
	s.SetRoute(s.LocalAddr(), &sink)
	run, control := pk(0x40, 10*1200), pk(0x10, 30) // the reader drops 0x10, a journal would allocate
	for name, send := range map[string]func() error{
		"SendRun": func() error { return s.SendRun(s.LocalAddr(), run, 1200, 1) },
		"Send":    func() error { return s.Send(s.LocalAddr(), control) },
	} {
		n := testing.AllocsPerRun(1000, func() {
			if err := send(); err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
