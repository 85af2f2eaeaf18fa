package pn

import "time"

// Metrics is told what takes time, beside what [Server.Stats] counts. Its methods
// are called concurrently and must not block.
type Metrics interface {
	// Handshake: an initiation was read and answered, or refused.
	Handshake(took time.Duration)
	// QueueDelay: packets have waited so long for Limits.Bandwidth. It is called for each
	// run that has waited, and not for those that did not have to.
	QueueDelay(waited time.Duration)
}

// noMetrics keeps it to itself.
type noMetrics struct{}

func (noMetrics) Handshake(time.Duration)  {}
func (noMetrics) QueueDelay(time.Duration) {}
