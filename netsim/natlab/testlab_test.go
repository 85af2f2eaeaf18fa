//go:build linux && natlab

package natlab

import (
	"context"
	"testing"

	"github.com/bdtnet/bdt/netsim"
)

// A tlab is a lab that lasts as long as a test, which fails if it cannot be built.
type tlab struct {
	*Lab
	t testing.TB
}

func newLab(t testing.TB) tlab {
	t.Helper()
	l, err := New()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(l.Close)
	return tlab{l, t}
}

// A tnode is a node of a tlab.
type tnode struct {
	*Node
	t testing.TB
}

func (l tlab) node(n *Node, err error) *tnode {
	l.t.Helper()
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	return &tnode{n, l.t}
}

func (l tlab) Host(name string) *tnode   { l.t.Helper(); return l.node(l.Lab.Host(name)) }
func (l tlab) Router(name string) *tnode { l.t.Helper(); return l.node(l.Lab.Router(name)) }
func (l tlab) Switch(name string) *tnode { l.t.Helper(); return l.node(l.Lab.Switch(name)) }

func (l tlab) NAT(name string, cfg netsim.NATConfig) *tnode {
	l.t.Helper()
	return l.node(l.Lab.NAT(name, cfg))
}

func (l tlab) Connect(lower, upper *tnode, addrs ...string) {
	l.t.Helper()
	if err := l.Lab.Connect(lower.Node, upper.Node, netsim.LinkConfig{}, addrs...); err != nil {
		l.t.Fatalf("%v", err)
	}
}

// A tprocess is a program in a tlab. A failed test shows what it wrote.
type tprocess struct {
	*Process
	t testing.TB
}

func (n *tnode) Start(name string, args ...string) *tprocess {
	n.t.Helper()
	p, err := n.Node.Start(nil, name, args...)
	if err != nil {
		n.t.Fatalf("%v", err)
	}
	n.t.Cleanup(func() {
		p.Stop()
		if n.t.Failed() {
			n.t.Logf("%s: %s wrote:\n%s", n.Name, name, p.Output())
		}
	})
	return &tprocess{p, n.t}
}

func (p *tprocess) Ready() map[string]string {
	p.t.Helper()
	fields, err := p.Process.Ready(p.t.Context())
	if err != nil {
		p.t.Fatalf("%v", err)
	}
	return fields
}

func (n *tnode) Run(ctx context.Context, name string, args ...string) ([]byte, error) {
	return n.Node.Run(ctx, nil, name, args...)
}
