package sn

import "time"

// Metrics is told what takes time, beside what [Server.Stats] counts. Its methods
// are called concurrently and must not block.
type Metrics interface {
	// Handshake: an initiation was read and answered, or refused.
	Handshake(took time.Duration)
	// StateWritten: so many records, and what changes with each packet, were
	// written to the state file; or were not, for err.
	StateWritten(records int, took time.Duration, err error)
}

// noMetrics keeps it to itself.
type noMetrics struct{}

func (noMetrics) Handshake(time.Duration)                {}
func (noMetrics) StateWritten(int, time.Duration, error) {}
