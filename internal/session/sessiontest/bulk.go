package sessiontest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/bdtnet/bdt/internal/session"
)

func survivesLoss(c session.Capabilities) bool { return c.LossyPath }
func changesPaths(c session.Capabilities) bool { return c.LossyPath && c.PathChanges }

const (
	bulkDelay = 15 * time.Millisecond
	bulkRate  = 100_000_000 // bits/s
	bulkSize  = 4 << 20     // bytes each way
)

var bulkTests = []test{
	{name: "Clean", f: testBulk,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate}},
	{name: "Lossy", needs: survivesLoss, f: testBulk,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate, Loss: 0.05, Seed: 1}},
	{name: "Reordering", needs: survivesLoss, f: testBulk,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate, Reorder: 0.05, Seed: 2}},
	{name: "Duplicating", needs: survivesLoss, f: testBulk,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate, Duplicate: 0.3, Seed: 3}},
	{name: "Everything", needs: survivesLoss, f: testBulk,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate, Loss: 0.02, Reorder: 0.02, Duplicate: 0.02, Seed: 4}},
	{name: "PathChanges", needs: changesPaths, f: testBulkPathChanges,
		conds: Conditions{Delay: bulkDelay, Rate: bulkRate}},
	{name: "Failover", needs: changesPaths, f: testFailover},
}

// testBulk sends bulkSize bytes both ways of one stream at once.
func testBulk(e *env) {
	near, far := e.streams(e.client, e.server)
	var all []<-chan error
	for i, p := range [][2]session.Stream{{near, far}, {far, near}} {
		data := make([]byte, bulkSize)
		rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		all = append(all,
			e.start(func() error {
				if _, err := io.Copy(p[0], bytes.NewReader(data)); err != nil {
					return err
				}
				return p[0].CloseWrite()
			}),
			e.start(func() error {
				h := sha256.New()
				if _, err := io.Copy(h, p[1]); err != nil {
					return err
				}
				if sha256.Sum256(data) != [32]byte(h.Sum(nil)) {
					return errors.New("bytes arrived changed")
				}
				return nil
			}))
	}
	for _, c := range all {
		e.want(<-c, nil)
	}
}

// testBulkPathChanges moves a running transfer back and forth between paths
// that differ in everything, losing what is under way.
func testBulkPathChanges(e *env) {
	paths := []Conditions{
		{Delay: 60 * time.Millisecond, Rate: 20_000_000, Loss: 0.01, Seed: 1},
		{Delay: time.Millisecond, Rate: 1_000_000_000},
		{Delay: bulkDelay, Rate: bulkRate, Reorder: 0.02, Seed: 2},
	}
	stop := make(chan struct{})
	switching := e.start(func() error {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return nil
			case <-time.After(200 * time.Millisecond):
				e.net.SwitchPath(paths[i%len(paths)])
			}
		}
	})
	testBulk(e)
	close(stop)
	e.want(<-switching, nil)
}

// testFailover cuts the path under a small request, moves to another one
// after long enough for retransmission to have backed off, and wants the
// request through without waiting for the next retransmission.
func testFailover(e *env) {
	near, far := e.streams(e.client, e.server)
	e.send(near, far, "warm up")
	e.send(far, near, "warm up")
	time.Sleep(time.Second)

	e.net.SetConditions(Conditions{Loss: 1})
	_, err := near.Write([]byte("request"))
	e.want(err, nil)
	answered := e.start(func() error {
		if _, err := io.ReadFull(far, make([]byte, len("request"))); err != nil {
			return err
		}
		_, err := far.Write([]byte("answer"))
		return err
	})
	time.Sleep(10 * time.Second)
	start := time.Now()
	e.net.SwitchPath(clean)
	_, err = io.ReadFull(near, make([]byte, len("answer")))
	e.want(err, nil)
	if d, rtt := time.Since(start), 2*clean.Delay; d > rtt {
		e.Errorf("the answer came %v after the new path did, want one round trip, %v", d, rtt)
	}
	e.want(<-answered, nil)
}
