package main

import (
	"fmt"
	"io"
	"time"

	"github.com/bdtnet/bdt/internal/snload"
)

// A snReport is what bench sn measured.
type snReport struct {
	SN      string     `json:"sn"`
	Own     bool       `json:"own"` // started for the bench
	Devices int        `json:"devices"`
	AtOnce  int        `json:"at_once"`
	Phases  []snPhase  `json:"phases"`
	Memory  *snMemory  `json:"memory,omitempty"` // absent: not known
	Flood   *snFlood   `json:"flood,omitempty"`
	Restart *snRestart `json:"restart,omitempty"`
}

// A snPhase is one kind of load.
type snPhase struct {
	Name    string  `json:"name"`
	Done    uint64  `json:"done"`
	Failed  uint64  `json:"failed"`
	Repeats uint64  `json:"repeats"`           // packets sent again
	Reached uint64  `json:"reached,omitempty"` // callees that heard
	Error   string  `json:"error,omitempty"`   // the last
	Seconds float64 `json:"seconds"`
	PerS    float64 `json:"per_s"`
	CPU     float64 `json:"sn_cpu_s,omitempty"` // of the super node; absent: not known
	PerCPU  float64 `json:"per_sn_cpu_s,omitempty"`
	Min     float64 `json:"min_ms"`
	Mean    float64 `json:"mean_ms"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

// A snMemory is the super node's memory beyond what it had before, for each
// device that is online.
type snMemory struct {
	Devices  int   `json:"devices"`
	Heap     int64 `json:"heap_bytes,omitempty"` // in use; absent: not known
	Resident int64 `json:"resident_bytes"`
}

// A snFlood is what the super node made of a flood of forged handshakes.
type snFlood struct {
	Sent       uint64  `json:"sent"`
	Seconds    float64 `json:"seconds"`
	Handshakes uint64  `json:"handshakes"` // for which it did Diffie–Hellman
	Cookies    uint64  `json:"cookies"`    // that it answered with a cookie
	Dropped    uint64  `json:"dropped"`    // that it received and did not answer
	// RefusedPerCPU is cookies and drops for each second of its processor time, in which it did the
	// Diffie–Hellman and answered pings, too.
	RefusedPerCPU float64 `json:"refused_per_sn_cpu_s"`
}

// A snRestart is how the devices came back after a restart, in seconds since
// the super node was told to stop.
type snRestart struct {
	Killed  bool    `json:"killed"`
	ReadyS  float64 `json:"ready_s"`  // until it served again
	Sample  int     `json:"sample"`   // random devices that were called at once
	SampleS float64 `json:"sample_s"` // until the last of them was reached
	All     int     `json:"all"`      // devices that were called after that, which takes its time
	AllS    float64 `json:"all_s"`
	Missing int     `json:"missing"`
	// What the devices had to do for it: shake hands anew, or only prove where they are.
	Handshakes uint64 `json:"handshakes"`
	Moves      uint64 `json:"challenges"`
	Online     int    `json:"online"` // in their own view
}

// add notes a phase and the super node's processor time in it, 0 if that is not known.
func (r *snReport) add(name string, p snload.Phase, cpu time.Duration) {
	s := snPhase{
		Name: name, Done: p.Done, Failed: p.Failed, Repeats: p.Repeats, Reached: p.Reached,
		Seconds: p.Elapsed.Seconds(), PerS: p.PerSecond(), CPU: cpu.Seconds(),
		Min: inMilliseconds(p.Latency.Min), Mean: inMilliseconds(p.Latency.Mean),
		P50: inMilliseconds(p.Latency.P50), P99: inMilliseconds(p.Latency.P99), Max: inMilliseconds(p.Latency.Max),
	}
	if cpu > 0 {
		s.PerCPU = float64(p.Done) / cpu.Seconds()
	}
	if p.Err != nil {
		s.Error = p.Err.Error()
	}
	r.Phases = append(r.Phases, s)
}

// memory notes the super node's memory.
func (r *snReport) memory(before, after snUsage, devices int) {
	if devices == 0 || after.RSS == 0 && after.Heap == 0 {
		return
	}
	n := int64(devices)
	r.Memory = &snMemory{Devices: devices, Heap: max(after.Heap-before.Heap, 0) / n, Resident: max(after.RSS-before.RSS, 0) / n}
}

// write writes the report for people.
func (r *snReport) write(w io.Writer) {
	whose := ""
	if r.Own {
		whose = ", in a process of its own"
	}
	fmt.Fprintf(w, "super node  %s%s\n", r.SN, whose)
	fmt.Fprintf(w, "devices     %d, %d at once\n\n", r.Devices, r.AtOnce)
	const row = "%-20s %10s %10s %10s %9s %9s %9s %9s %9s %8s %8s\n"
	fmt.Fprintf(w, row, "", "done", "a second", "a CPU s", "min ms", "mean", "p50", "p99", "max", "failed", "repeats")
	for _, p := range r.Phases {
		perCPU := "-"
		if p.CPU > 0 {
			perCPU = fmt.Sprintf("%.0f", p.PerCPU)
		}
		ms := func(v float64) string { return fmt.Sprintf("%.2f", v) }
		fmt.Fprintf(w, row, p.Name, fmt.Sprint(p.Done), fmt.Sprintf("%.0f", p.PerS), perCPU,
			ms(p.Min), ms(p.Mean), ms(p.P50), ms(p.P99), ms(p.Max), fmt.Sprint(p.Failed), fmt.Sprint(p.Repeats))
	}
	fmt.Fprintln(w)
	for _, p := range r.Phases {
		if p.Name == "calls" && p.Reached < p.Done {
			fmt.Fprintf(w, "calls: %d of %d callees have heard\n", p.Reached, p.Done)
		}
		if p.Failed > 0 {
			fmt.Fprintf(w, "%s: the last failure: %s\n", p.Name, p.Error)
		}
	}
	if m := r.Memory; m != nil {
		fmt.Fprintf(w, "memory of the super node for each of %d devices: ", m.Devices)
		if m.Heap > 0 {
			fmt.Fprintf(w, "%d bytes in use, ", m.Heap)
		}
		fmt.Fprintf(w, "%d resident\n", m.Resident)
	}
	if f := r.Flood; f != nil {
		fmt.Fprintf(w, "flood: of %d forged handshakes, %.0f a second, %d cost Diffie–Hellman (%.0f a second), %d earned a cookie, %d nothing; %.0f refused a CPU second\n",
			f.Sent, float64(f.Sent)/f.Seconds, f.Handshakes, float64(f.Handshakes)/f.Seconds, f.Cookies, f.Dropped, f.RefusedPerCPU)
	}
	if s := r.Restart; s != nil {
		how := "SIGTERM"
		if s.Killed {
			how = "SIGKILL"
		}
		fmt.Fprintf(w, "restart by %s: ready after %.2f s; %d random devices called after %.2f s, all %d after %.2f s; %d missing\n",
			how, s.ReadyS, s.Sample, s.SampleS, s.All, s.AllS, s.Missing)
		fmt.Fprintf(w, "since then: %d handshakes, %d challenges answered; %d devices online\n", s.Handshakes, s.Moves, s.Online)
	}
}
