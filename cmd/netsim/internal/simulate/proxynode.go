package simulate

import (
	"fmt"
	"sync"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
	"github.com/bdtnet/bdt/identity"
	"github.com/bdtnet/bdt/netsim"
	"github.com/bdtnet/bdt/pn"
)

// A proxyNode is a PN of the file, which runs or does not.
type proxyNode struct {
	*scenario.ProxyNode
	host  *netsim.Host
	local *identity.LocalDevice
	ref   identity.Ref

	mu     sync.Mutex
	server *pn.Server
}

// addPN makes the identity of a PN.
func (w *world) addPN(p *scenario.ProxyNode) error {
	host := w.nodes[p.Host].host
	secret, unique := w.secret("pn", p.Name)
	d, err := identity.NewDevice(secret, identity.DeviceDesc{UniqueID: unique}, identity.DeviceBody{Name: p.Name, Updated: stamp()})
	if err != nil {
		return w.errorAt(p.Line, err)
	}
	listen := listenAddrs(p.Listen, host, scenario.DefaultProxyPort)
	if len(listen) == 0 {
		return w.errorAt(p.Line, fmt.Errorf("the host %q has no address", p.Host))
	}
	ref, err := identity.NewRef(d.ID(), listen[0].String())
	if err != nil {
		return w.errorAt(p.Line, err)
	}
	for _, a := range listen {
		w.tracer.servers[a.Addr()] = true
	}
	w.pns[p.Name] = &proxyNode{ProxyNode: p, host: host, local: &identity.LocalDevice{Secret: secret, Device: d}, ref: ref}
	return nil
}

// start runs a PN, which must not be running. It relays for everybody.
func (p *proxyNode) start(w *world) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return fmt.Errorf("%s runs already", p.Name)
	}
	server, err := pn.Open(pn.Config{
		Network: p.host, Local: p.local, Listen: listenAddrs(p.Listen, p.host, scenario.DefaultProxyPort), Advertise: p.ref.Addr,
		Admission: pn.Admission{Open: true}, Logger: w.opt.Logger.With("who", p.Name),
	})
	if err == nil {
		p.server = server
	}
	return err
}

// stop stops a PN, if it runs.
func (p *proxyNode) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		p.server.Close() // it keeps nothing
		p.server = nil
	}
}
