package sessiontest

import (
	"bytes"
	"errors"

	"github.com/bdtnet/bdt/internal/session"
)

func hasDatagrams(c session.Capabilities) bool   { return c.Datagrams }
func lacksDatagrams(c session.Capabilities) bool { return !c.Datagrams }

var datagramTests = []test{
	{name: "BothWays", needs: hasDatagrams, f: testDatagrams},
	{name: "TooLarge", needs: hasDatagrams, f: testDatagramTooLarge},
	{name: "Flood", needs: hasDatagrams, f: testDatagramFlood},
	{name: "Unsupported", needs: lacksDatagrams, f: testNoDatagrams},
}

func testDatagrams(e *env) {
	for _, p := range [][2]session.Session{{e.client, e.server}, {e.server, e.client}} {
		for _, size := range []int{0, 1, 100, p[0].MaxDatagramSize()} {
			b := bytes.Repeat([]byte{byte(size)}, size)
			e.want(p[0].SendDatagram(b), nil)
			clear(b) // it is not retained
			got, err := p[1].ReceiveDatagram(e.context())
			if e.want(err, nil); !bytes.Equal(got, bytes.Repeat([]byte{byte(size)}, size)) {
				e.Errorf("datagram of %d bytes arrived as %d bytes, or others", size, len(got))
			}
		}
	}
}

func testDatagramTooLarge(e *env) {
	limit := e.client.MaxDatagramSize()
	if limit < 1000 || limit > 1200 {
		e.Errorf("MaxDatagramSize is %d, which is not what a packet of 1,200 bytes holds", limit)
	}
	for _, size := range []int{limit + 1, 100000} {
		err := e.client.SendDatagram(make([]byte, size))
		if tooLarge, ok := errors.AsType[*session.DatagramTooLargeError](err); !ok || tooLarge.Max != limit {
			e.Errorf("datagram of %d bytes: %v", size, err)
		}
	}
	e.alive()
}

// testDatagramFlood sends more than a receiver who does not receive can hold.
func testDatagramFlood(e *env) {
	const count = 5000
	for range count {
		e.want(e.client.SendDatagram(make([]byte, 1000)), nil)
	}
	e.alive()
	e.want(e.client.Close(0, ""), nil)
	<-e.server.Done()
	received := 0
	for {
		if _, err := e.server.ReceiveDatagram(e.context()); err != nil {
			break
		}
		received++
	}
	if received == 0 || received == count {
		e.Errorf("%d of %d datagrams were kept", received, count)
	}
}

func testNoDatagrams(e *env) {
	if n := e.client.MaxDatagramSize(); n != 0 {
		e.Errorf("MaxDatagramSize is %d", n)
	}
	e.want(e.client.SendDatagram([]byte("x")), session.ErrNoDatagrams)
	_, err := e.client.ReceiveDatagram(e.context())
	e.want(err, session.ErrNoDatagrams)
}
