package main

import (
	"os"
	"testing"
)

func TestProcessUsage(t *testing.T) {
	// Enough to be seen at the resolution of /proc.
	for began := cpuTime(); cpuTime()-began < 3*clockTick; {
	}
	all := cpuTime()
	cpu, rss, err := processUsage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if cpu < 2*clockTick || cpu > all+2*clockTick || rss < 1<<20 {
		t.Errorf("processor time %v of %v, %d bytes resident", cpu, all, rss)
	}
	if _, _, err := processUsage(-1); err == nil {
		t.Error("a process that there cannot be has used something")
	}
}
