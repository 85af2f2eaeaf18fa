package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/bdtnet/bdt/pn"
)

// metrics is what Prometheus is told of the server. It is the server's pn.Metrics,
// and collects its counters when asked.
type metrics struct {
	registry  *prometheus.Registry
	handshake prometheus.Histogram
	delay     prometheus.Histogram
}

var _ pn.Metrics = (*metrics)(nil)

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		handshake: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bdt_pn_handshake_seconds",
			Help:    "Time to read and answer an initiation.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 12), // 0.1 ms to 0.2 s
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "bdt_pn_queue_delay_seconds",
			Help:    "Time that packets have waited for the limit on all bytes a second.",
			Buckets: prometheus.ExponentialBuckets(0.00025, 2, 11), // 0.25 ms to 0.25 s
		}),
	}
	m.registry.MustRegister(m.handshake, m.delay,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handshake implements pn.Metrics.
func (m *metrics) Handshake(took time.Duration) { m.handshake.Observe(took.Seconds()) }

// QueueDelay implements pn.Metrics.
func (m *metrics) QueueDelay(waited time.Duration) { m.delay.Observe(waited.Seconds()) }

// watch has the counters of a server collected.
func (m *metrics) watch(s *pn.Server) { m.registry.MustRegister(statsCollector{s}) }

// A statsCollector makes metrics of the server's counters.
type statsCollector struct{ server *pn.Server }

var (
	descHeld    = prometheus.NewDesc("bdt_pn_held", "What is in the tables now.", []string{"table"}, nil)
	descWaiting = prometheus.NewDesc("bdt_pn_waiting_bytes", "Bytes that wait for the limit on all bytes a second now.", nil, nil)
	descPackets = prometheus.NewDesc("bdt_pn_relayed_packets_total", "Packets forwarded.", nil, nil)
	descBytes   = prometheus.NewDesc("bdt_pn_relayed_bytes_total", "Bytes of UDP payload forwarded.", nil, nil)
	descDropped = prometheus.NewDesc("bdt_pn_dropped_packets_total", "Packets to be relayed that were dropped.", []string{"why"}, nil)
	descDone    = prometheus.NewDesc("bdt_pn_served_total", "What was done for devices.", []string{"what"}, nil)
	descRefused = prometheus.NewDesc("bdt_pn_refused_total", "What was dropped or refused of control.", []string{"why"}, nil)
)

func (statsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descHeld, descWaiting, descPackets, descBytes, descDropped, descDone, descRefused} {
		ch <- d
	}
}

func (c statsCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.server.Stats()
	ch <- prometheus.MustNewConstMetric(descWaiting, prometheus.GaugeValue, float64(st.Waiting))
	ch <- prometheus.MustNewConstMetric(descPackets, prometheus.CounterValue, float64(st.Packets))
	ch <- prometheus.MustNewConstMetric(descBytes, prometheus.CounterValue, float64(st.Bytes))
	for table, n := range map[string]int{"sessions": st.Sessions, "bindings": st.Pairs, "payers": st.Payers} {
		ch <- prometheus.MustNewConstMetric(descHeld, prometheus.GaugeValue, float64(n), table)
	}
	for _, family := range []struct {
		desc *prometheus.Desc
		list map[string]uint64
	}{
		{descDropped, map[string]uint64{
			"malformed": st.DropMalformed, "unknown_tag": st.DropUnknown, "half": st.DropHalf, "elsewhere": st.DropElsewhere,
			"rate": st.DropRate, "quota": st.DropQuota, "queue_full": st.DropQueue, "late": st.DropLate, "send_error": st.DropSend,
		}},
		{descDone, map[string]uint64{
			"handshake": st.Handshakes, "cookie": st.Cookies, "bind": st.Binds, "met": st.Met, "ended": st.Ended, "ping": st.Pings,
			"challenge": st.Challenges, "move": st.Moves, "hint": st.Hints, "describe": st.Describes, "expired": st.Expired, "goodbye": st.Goodbyes,
		}},
		{descRefused, map[string]uint64{
			"malformed": st.Malformed, "unopened": st.Unopened, "bad_initiation": st.BadInits, "bind": st.Refused, "limited": st.Limited,
			"no_room": st.NoRoom, "overload": st.Overload, "unproven": st.Unproven, "send_error": st.SendErrors,
		}},
	} {
		for label, n := range family.list {
			ch <- prometheus.MustNewConstMetric(family.desc, prometheus.CounterValue, float64(n), label)
		}
	}
}
