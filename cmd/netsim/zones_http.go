package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bdtnet/bdt/bdt"
	"github.com/bdtnet/bdt/identity"
)

// publicService is what a member of a zone offers to everyone, over HTTP.
const publicService = "public"

// zonePing bounds the time of a ping that somebody waits for.
const zonePing = 20 * time.Second

// A member is a device of a zone, with its local address.
type member struct {
	zones *zones
	name  string
	owner string
	addr  string
	stack *bdt.Stack
}

// A zoneView is a member in JSON.
type zoneView struct {
	Name   string     `json:"name"`
	Owner  string     `json:"owner,omitempty"`
	Addr   string     `json:"addr"` // of its HTTP
	ID     string     `json:"id"`
	Online bool       `json:"online"`
	Peers  []peerView `json:"peers"`
}

type peerView struct {
	Name  string  `json:"name"`
	ID    string  `json:"id"`
	State string  `json:"state"`
	Path  string  `json:"path,omitempty"`
	RTT   float64 `json:"rtt_ms,omitempty"`
}

// state is how a member is, in a word.
func (v *zoneView) state() string {
	if v.Online {
		return "online"
	}
	return "offline"
}

// view returns how a member is.
func (m *member) view() *zoneView {
	v := &zoneView{Name: m.name, Owner: m.owner, Addr: m.addr, ID: m.stack.ID().String(), Online: m.stack.Online(), Peers: []peerView{}}
	for _, p := range m.stack.Peers() {
		v.Peers = append(v.Peers, peerView{Name: p.Name, ID: p.ID.String(), State: p.State, Path: p.Path.Kind, RTT: inMilliseconds(p.Path.RTT)})
	}
	return v
}

// offer has a member answer HTTP requests of its zone, and of everyone at another service. What it
// starts ends with the stack.
func (m *member) offer(serving *sync.WaitGroup) error {
	for service, access := range map[string]bdt.Access{bdt.HTTPService: bdt.OwnZone, publicService: bdt.Everyone} {
		ln, err := m.stack.Listen(service, access)
		if err != nil {
			return err
		}
		s := m.stack.HTTPServer(http.HandlerFunc(m.answer))
		serving.Go(func() { s.Serve(ln) }) // until the stack is closed
	}
	return nil
}

// answer tells a caller who answers, and who it is seen to be.
func (m *member) answer(w http.ResponseWriter, r *http.Request) {
	caller := "somebody"
	if c, ok := bdt.ConnFromContext(r.Context()); ok {
		caller = c.Peer().Name()
	}
	fmt.Fprintf(w, "%s says: hello %s, you asked for %s\n", m.name, caller, r.URL.Path)
}

// handler serves a member's local port.
func (m *member) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encode(w, m.view())
	})
	mux.HandleFunc("GET /ping/{name}", m.ping)
	mux.HandleFunc("/to/{name}/{path...}", m.forward)
	return mux
}

// find returns the id of a device or an owner, by its name.
func (z *zones) find(name string) (identity.ID, error) {
	if s, ok := z.live.Stack(name); ok {
		return s.ID(), nil
	}
	if id, ok := z.live.Owner(name); ok {
		return id, nil
	}
	var names []string
	for _, d := range z.file.Devices {
		names = append(names, d.Name)
	}
	return identity.ID{}, fmt.Errorf("there is nobody called %q: there are %s, and their owners", name, strings.Join(names, ", "))
}

// ping has a member ping another.
func (m *member) ping(w http.ResponseWriter, r *http.Request) {
	id, err := m.zones.find(r.PathValue("name"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), zonePing)
	defer cancel()
	c, err := m.stack.Dial(ctx, id, bdt.EchoService) // of an owner it tells who answers
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	answers := c.Peer()
	c.Close()
	rtt, err := m.stack.Ping(ctx, answers.ID())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	p, _ := m.stack.Peer(answers.ID())
	w.Header().Set("Content-Type", "application/json")
	encode(w, map[string]any{"name": answers.Name(), "id": answers.ID().String(), "path": p.Path.Kind, "rtt_ms": inMilliseconds(rtt)})
}

// forward has a member make a request.
func (m *member) forward(w http.ResponseWriter, r *http.Request) {
	name, service := r.PathValue("name"), ""
	if rest, ok := strings.CutPrefix(name, publicService+"."); ok {
		name, service = rest, publicService+"."
	}
	id, err := m.zones.find(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	proxy := httputil.ReverseProxy{
		Transport: m.stack.HTTPTransport(),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "bdt", Host: service + id.String(), Path: "/" + r.PathValue("path"), RawQuery: r.URL.RawQuery}
			p.Out.Host = ""
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}
