//go:build unix

package bdt_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"
)

// Ways that are compared take turns in one run, so that the machine's moods
// hit all alike; what is reported is the median of the turns. The ratios to
// bare quic-go count, the rates hold for the machine alone.

// A tally is what the turns of one way took.
type tally struct {
	wall, cpu []float64 // seconds, one for each turn
}

// turns has each way do its turn, b.N times. Which comes first changes.
func turns(b *testing.B, f *far, n int, turn func(i int)) []tally {
	tallies := make([]tally, n)
	for round := 0; b.Loop(); round++ {
		for k := range n {
			i := (round + k) % n
			cpu, start := f.cpu(b), time.Now()
			turn(i)
			wall := time.Since(start)
			tallies[i].wall = append(tallies[i].wall, wall.Seconds())
			tallies[i].cpu = append(tallies[i].cpu, (f.cpu(b) - cpu).Seconds())
		}
	}
	b.ReportMetric(0, "ns/op") // of all ways together: nobody's
	return tallies
}

// ratio is the median over the turns of b's seconds for one of a's.
func ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = b[i] / a[i]
	}
	return median(r)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// BenchmarkBulk moves data one way, over one stream and over eight at once.
// The ratios are throughput and bytes per CPU second of the stack, as
// multiples of quic-go's.
func BenchmarkBulk(b *testing.B) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { benchmarkBulk(b, streams) })
	}
}

func benchmarkBulk(b *testing.B, streams int) {
	const turnBytes = 32 << 20
	f := startFar(b)
	ways := f.ways(b, "quicgo", "quicgo1200")
	open := make([][]benchStream, len(ways))
	for i, w := range ways {
		for range streams {
			s, err := w.open(b.Context())
			must(b, err)
			_, err = s.Write([]byte{streamBulk})
			must(b, err)
			open[i] = append(open[i], s)
		}
		bulkTurn(b, open[i], turnBytes) // slow start and discovery are not measured
	}
	tallies := turns(b, f, len(ways), func(i int) { bulkTurn(b, open[i], turnBytes) })
	for i, t := range tallies {
		b.ReportMetric(turnBytes*8/1e9/median(t.wall), ways[i].name+"-Gbit/s")
		b.ReportMetric(median(t.cpu)/turnBytes*1e9, ways[i].name+"-cpu-s/GB")
		if i > 0 {
			b.ReportMetric(ratio(tallies[0].wall, t.wall), "×"+ways[i].name)
			b.ReportMetric(ratio(tallies[0].cpu, t.cpu), "cpu×"+ways[i].name)
		}
	}
}

// bulkTurn moves so many bytes over streams of kind streamBulk.
func bulkTurn(b *testing.B, streams []benchStream, bytes int) {
	var wg sync.WaitGroup
	for _, s := range streams {
		wg.Go(func() {
			left := bytes / len(streams)
			_, err := s.Write(binary.BigEndian.AppendUint64(nil, uint64(left)))
			for block := make([]byte, 1<<20); left > 0 && err == nil; left -= len(block) {
				_, err = s.Write(block[:min(left, len(block))])
			}
			if err == nil {
				_, err = io.ReadFull(s, make([]byte, 1))
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkRequests asks 100 bytes and is answered 1,000, each on a stream of
// its own in one session: one at a time, and 64 at once.
func BenchmarkRequests(b *testing.B) {
	for _, atOnce := range []int{1, 64} {
		b.Run(fmt.Sprintf("at-once=%d", atOnce), func(b *testing.B) {
			requests := 500 * min(atOnce, 8)
			f := startFar(b)
			ways := f.ways(b, "quicgo")
			for _, w := range ways {
				must(b, w.request(b.Context()))
			}
			tallies := turns(b, f, len(ways), func(i int) {
				concurrently(b, requests, atOnce, ways[i].request)
			})
			for i, t := range tallies {
				latency := median(t.wall) * float64(atOnce) / float64(requests)
				b.ReportMetric(latency*1e6, ways[i].name+"-µs")
				b.ReportMetric(float64(requests)/median(t.cpu), ways[i].name+"/cpu-s")
			}
			b.ReportMetric(ratio(tallies[0].wall, tallies[1].wall), "×quicgo")
			b.ReportMetric(ratio(tallies[0].cpu, tallies[1].cpu), "cpu×quicgo")
		})
	}
}

// concurrently calls do n times, in a number of goroutines.
func concurrently(b *testing.B, n, atOnce int, do func(context.Context) error) {
	var wg sync.WaitGroup
	for k := range atOnce {
		wg.Go(func() {
			for i := k; i < n; i += atOnce {
				if err := do(b.Context()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkDial opens sessions between devices that have never met, one after
// the other, and has one request answered over each. The bare quic-go makes
// its TLS handshake, the stack a Noise handshake and a probe before that.
func BenchmarkDial(b *testing.B) {
	const dials = 20
	f := startFar(b)
	var tallies [2]tally
	for b.Loop() {
		for i := range tallies {
			ways, closeAll := f.fresh(b, i == 0, dials)
			cpu, start := f.cpu(b), time.Now()
			for _, w := range ways {
				must(b, w.request(b.Context()))
			}
			tallies[i].wall = append(tallies[i].wall, time.Since(start).Seconds())
			tallies[i].cpu = append(tallies[i].cpu, (f.cpu(b) - cpu).Seconds())
			closeAll()
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, name := range []string{"stack", "quicgo"} {
		b.ReportMetric(median(tallies[i].wall)/dials*1e6, name+"-µs")
		b.ReportMetric(median(tallies[i].cpu)/dials*1e6, name+"-cpu-µs")
	}
}

// BenchmarkSessions opens sessions from a thousand devices to one, and reports
// what an idle one costs: at the accepting end, which holds them all, and at
// the dialling ends, each beyond what its stack takes without a session. Beside
// it the same for bare quic-go.
func BenchmarkSessions(b *testing.B) {
	const sessions = 1000
	f := startFar(b)
	for b.Loop() {
		for _, stacks := range []bool{true, false} {
			ways, closeAll := f.fresh(b, stacks, sessions)
			report(b, f, sessions, ways)
			closeAll()
		}
	}
	b.ReportMetric(0, "ns/op")
}

// answered opens a stream of a kind that is answered by one byte.
func (w way) answered(ctx context.Context, kind byte) (benchStream, error) {
	s, err := w.open(ctx)
	if err == nil {
		_, err = s.Write([]byte{kind})
	}
	if err == nil {
		_, err = io.ReadFull(s, make([]byte, 1))
	}
	return s, err
}

// report makes a request by each way, and reports what they added at both ends.
func report(b *testing.B, f *far, n float64, ways []way) {
	farBefore, nearBefore := f.ask(b, "full"), fullUsage()
	for _, w := range ways {
		must(b, w.request(b.Context()))
	}
	time.Sleep(time.Second) // the last acknowledgements; no result depends on it
	name := ways[0].name
	for end, u := range map[string]usage{
		"accepting": f.ask(b, "full").minus(farBefore),
		"dialling":  fullUsage().minus(nearBefore),
	} {
		b.ReportMetric(float64(u.Heap)/n, name+"-"+end+"-heap-B")
		b.ReportMetric(float64(u.Stack)/n, name+"-"+end+"-stack-B")
		b.ReportMetric(float64(u.Goroutines)/n, name+"-"+end+"-goroutines")
	}
}

// BenchmarkStreams opens 10,000 streams in one session and keeps them open,
// reports what an idle one costs at either end, and then how many can be
// opened, answered and closed beside them.
func BenchmarkStreams(b *testing.B) {
	const streams, atOnce = 10_000, 64
	f := startFar(b)
	w := f.stackWay(b)
	must(b, w.request(b.Context()))
	for b.Loop() {
		farBefore, nearBefore := f.ask(b, "full"), fullUsage()
		var mu sync.Mutex
		var held []benchStream
		concurrently(b, streams, atOnce, func(ctx context.Context) error {
			s, err := w.answered(ctx, streamHold)
			if err != nil {
				return err
			}
			mu.Lock()
			held = append(held, s)
			mu.Unlock()
			return nil
		})
		farUsage, nearUsage := f.ask(b, "full").minus(farBefore), fullUsage().minus(nearBefore)
		b.ReportMetric(float64(nearUsage.Heap)/streams, "dialling-heap-B")
		b.ReportMetric(float64(farUsage.Heap)/streams, "accepting-heap-B")
		b.ReportMetric(float64(nearUsage.Goroutines+farUsage.Goroutines)/streams, "goroutines")

		cpu, start := f.cpu(b), time.Now()
		concurrently(b, streams, atOnce, w.request)
		b.ReportMetric(streams/time.Since(start).Seconds(), "streams/s")
		b.ReportMetric(streams/(f.cpu(b)-cpu).Seconds(), "streams/cpu-s")
		if len(held) != streams {
			b.Fatalf("%d streams are open, not %d", len(held), streams)
		}
		for _, s := range held {
			s.Close()
		}
		s, err := w.answered(b.Context(), streamFree) // the far end's count against its limit
		must(b, err)
		s.Close()
	}
	b.ReportMetric(0, "ns/op")
}
