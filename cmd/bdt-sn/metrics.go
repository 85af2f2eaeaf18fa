package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bdtnet/bdt/sn"
)

// metrics is what Prometheus is told of the server. It is the server's sn.Metrics,
// and collects its counters when asked.
type metrics struct {
	registry  *prometheus.Registry
	handshake prometheus.Histogram
	write     prometheus.Histogram
	records   prometheus.Counter
}

var _ sn.Metrics = (*metrics)(nil)

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		handshake: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bdt_sn_handshake_seconds",
			Help:    "Time to read and answer an initiation.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 12), // 0.1 ms to 0.2 s
		}),
		write: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bdt_sn_state_write_seconds",
			Help:    "Time to write what is new to the state file.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14), // 1 ms to 8 s
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "bdt_sn_state_records_total",
			Help: "Records of devices and objects written to the state file.",
		}),
	}
	m.registry.MustRegister(m.handshake, m.write, m.records,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handshake implements sn.Metrics.
func (m *metrics) Handshake(took time.Duration) { m.handshake.Observe(took.Seconds()) }

// StateWritten implements sn.Metrics.
func (m *metrics) StateWritten(records int, took time.Duration, err error) {
	m.write.Observe(took.Seconds())
	if err == nil {
		m.records.Add(float64(records))
	}
}

// watch has the counters of a server collected.
func (m *metrics) watch(s *sn.Server) { m.registry.MustRegister(statsCollector{s}) }

// A statsCollector makes metrics of the server's counters.
type statsCollector struct{ server *sn.Server }

var (
	descHeld = prometheus.NewDesc("bdt_sn_held", "What is in the tables now.", []string{"table"}, nil)
	descDone = prometheus.NewDesc("bdt_sn_served_total", "What was done for devices.", []string{"what"}, nil)
	descDrop = prometheus.NewDesc("bdt_sn_refused_total", "What was dropped or refused.", []string{"why"}, nil)
)

func (statsCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descHeld
	ch <- descDone
	ch <- descDrop
}

func (c statsCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.server.Stats()
	for table, n := range map[string]int{"devices": st.Devices, "objects": st.Objects, "calls": st.Calls, "pairs": st.Pairs} {
		ch <- prometheus.MustNewConstMetric(descHeld, prometheus.GaugeValue, float64(n), table)
	}
	for what, n := range map[string]uint64{
		"handshake": st.Handshakes, "cookie": st.Cookies, "register": st.Registers, "superseded": st.Superseded,
		"expired": st.Expired, "goodbye": st.Goodbyes, "ping": st.Pings, "call": st.CallsMade, "call_repeat": st.CallRepeats,
		"called": st.CalledSent, "signal": st.Signals, "lookup": st.Lookups, "publish": st.Publishes,
		"challenge": st.Challenges, "move": st.Moves, "hint": st.Hints, "describe": st.Describes, "stun": st.STUN, "restored": st.Restored,
	} {
		ch <- prometheus.MustNewConstMetric(descDone, prometheus.CounterValue, float64(n), what)
	}
	for why, n := range map[string]uint64{
		"malformed": st.Malformed, "unopened": st.Unopened, "refused": st.Refused, "limited": st.Limited, "no_room": st.NoRoom,
		"overload": st.Overload, "unproven": st.Unproven, "not_entitled": st.NotEntitled, "call_failed": st.CallsFailed,
		"send_error": st.SendErrors, "state_error": st.StateErrors,
	} {
		ch <- prometheus.MustNewConstMetric(descDrop, prometheus.CounterValue, float64(n), why)
	}
}
