package bdt

import "time"

// SuspendTick is how often the clocks are compared.
const SuspendTick = suspendTick

// Suspended is the judgment of two clocks.
var Suspended = suspended

// Sleep has the stack's wall clock jump, as a machine's does that has slept.
func (s *Stack) Sleep(d time.Duration) { s.monitor.slept.Add(int64(d)) }
