package natlab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/bdtnet/bdt/netsim"
)

// A ruleWriter writes nftables rules.
type ruleWriter struct {
	strings.Builder
	cfg netsim.NATConfig
}

// line writes a line.
func (w *ruleWriter) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// ports matches what has ports.
const ports = "meta l4proto { tcp, udp }"

// The sides of a NAT.
const (
	fromInside  = "iifname != " + uplink
	fromOutside = "iifname " + uplink
	toOutside   = "oifname " + uplink
)

// ruleset returns the nftables rules of a NAT with an external IPv4 address, if it has one.
//
// Connection tracking alone maps address-and-port-dependent or, where masquerade keeps the port,
// endpoint-independent in effect (RFC 4787 §4.1), and lets in replies only, which is
// address-and-port-dependent filtering (§5). What filters less, or hairpins, keeps a map of its
// own, from each external endpoint to the internal one that last sent from it, and
// a set of whom it has sent to, as far as filtering looks at that; what neither has is
// dropped, as before. UDP and TCP are treated alike.
func ruleset(cfg netsim.NATConfig, external netip.Addr) (string, error) {
	if err := CheckNAT(cfg); err != nil {
		return "", err
	}
	w := &ruleWriter{cfg: cfg}
	w.line("flush ruleset")
	if !cfg.NoTranslation && external.IsValid() {
		if err := w.translate(external); err != nil {
			return "", err
		}
	}
	w.filter()
	return w.String(), nil
}

// life is how long an element of a set lives.
func (w *ruleWriter) life() string {
	return fmt.Sprintf("timeout %ds", seconds(cmp.Or(max(w.cfg.Timeout, 0), defaultTimeout)))
}

// A remote is a remote endpoint, as much of it as filtering looks at: its type and the
// expressions for it, each with what stands before it in a concatenation.
type remote struct{ typ, sentTo, original, from string }

func (w *ruleWriter) remote() remote {
	switch w.cfg.Filtering {
	case netsim.AddressDependent:
		return remote{" . ipv4_addr", " . ip daddr", " . ct original ip daddr", " . ip saddr"}
	case netsim.AddressAndPortDependent:
		return remote{" . ipv4_addr . inet_service", " . ip daddr . th dport", " . ct original ip daddr . ct original proto-dst", " . ip saddr . th sport"}
	}
	return remote{}
}

// translate writes the table that translates IPv4.
func (w *ruleWriter) translate(external netip.Addr) error {
	source, err := translation(w.cfg)
	if err != nil {
		return err
	}
	w.line("table ip nat {")
	defer w.line("}")
	w.line("chain postrouting { type nat hook postrouting priority srcnat")
	w.line("%s %s %s", toOutside, ports, source)
	w.line("%s masquerade", toOutside)
	if w.cfg.Hairpin {
		// It comes back from the sender's external endpoint (RFC 4787 §6, REQ-9a).
		port := "" // the sender's, which does not depend on the remote
		if w.cfg.Ports != netsim.PreservePort {
			port = ":" + portMap(hashed, w.free())
		}
		w.line("ct status dnat %s %s snat to %v%s", fromInside, ports, external, port)
	}
	w.line("}")
	if w.cfg.Hairpin || w.cfg.Filtering != netsim.AddressAndPortDependent {
		w.letIn(external)
	}
	return nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// letIn writes the maps and chains that let in more than connection tracking would.
func (w *ruleWriter) letIn(external netip.Addr) {
	r := w.remote()
	allowed := "" // if the internal endpoint has sent to where it comes from
	w.line("map inner { type inet_proto . inet_service : ipv4_addr . inet_service; flags dynamic,timeout; size 65536; }")
	if r.typ != "" {
		w.line("set pins { type inet_proto . inet_service%s; flags dynamic,timeout; size 65536; }", r.typ)
		allowed = "meta l4proto . th dport" + r.from + " @pins "
	}
	const to = "dnat ip to meta l4proto . th dport map @inner"
	w.line("chain prerouting { type nat hook prerouting priority dstnat")
	w.line("%s ip daddr %v %s %s%s", fromOutside, external, ports, allowed, to)
	if w.cfg.Hairpin {
		w.line("%s ip daddr %v %s %s", fromInside, external, ports, to)
	}
	w.line("}")
	// What is sent opens the way back: from outside by the addresses that the packet has after
	// translation, and whose it was by those that connection tracking remembers.
	w.line("chain note { type filter hook postrouting priority srcnat + 10")
	for _, d := range []struct{ direction, remote string }{{"original", r.original}, {"reply", r.sentTo}} {
		w.line("%s %s ct direction %s update @inner { meta l4proto . th sport %s : ct %s ip saddr . ct %s proto-src }",
			toOutside, ports, d.direction, w.life(), d.direction, d.direction)
		if r.typ != "" {
			w.line("%s %s ct direction %s update @pins { meta l4proto . th sport%s %s }", toOutside, ports, d.direction, d.remote, w.life())
		}
	}
	w.line("}")
	if w.cfg.Hairpin {
		w.turn(external)
	}
}

// turn writes what hairpins have of their own. Whom an internal endpoint has sent to at the
// external address is noted before translation, by that endpoint: what is not let in gets no
// further. What it gets is looked at after translation, when it has its external source.
func (w *ruleWriter) turn(external netip.Addr) {
	typ, sentTo, from := "", "", ""
	switch w.cfg.Filtering {
	case netsim.EndpointIndependent:
		return
	case netsim.AddressAndPortDependent:
		typ, sentTo, from = " . inet_service", " . th dport", " . th sport"
	}
	w.line("set turned { type inet_proto . ipv4_addr . inet_service%s; flags dynamic,timeout; size 65536; }", typ)
	w.line("chain turn { type filter hook prerouting priority dstnat - 10")
	w.line("%s ip daddr %v %s update @turned { meta l4proto . ip saddr . th sport%s %s }\n}", fromInside, external, ports, sentTo, w.life())
	w.line("chain turned_in { type filter hook postrouting priority srcnat + 10")
	w.line("%s oifname != %s ct status dnat ct direction original %s meta l4proto . ip daddr . th dport%s != @turned drop\n}", fromInside, uplink, ports, from)
}

// filter writes the table that says what may pass.
func (w *ruleWriter) filter() {
	w.line("table inet filter {")
	defer w.line("}")
	loose := w.cfg.Filtering != netsim.AddressAndPortDependent
	families := []struct{ name, typ string }{{"ip6", "ipv6_addr"}}
	if w.cfg.NoTranslation {
		families = append(families, struct{ name, typ string }{"ip", "ipv4_addr"})
	}
	remote := w.cfg.Filtering == netsim.AddressDependent
	for _, f := range families {
		if loose {
			w.line("set %s_open { type %s . inet_proto . inet_service%s; flags dynamic,timeout; size 65536; }",
				f.name, f.typ, strings.Repeat(" . "+f.typ, btoi(remote)))
		}
	}
	if !w.cfg.StealPorts {
		// An accepted packet that no socket wants is tracked all the same, and
		// the entry takes the port from the next mapping towards its source.
		// Only a dropped one leaves no trace.
		w.line("chain input { type filter hook input priority filter\n%s %s ct state new,invalid drop\n}", fromOutside, ports)
	}
	w.line("chain forward { type filter hook forward priority filter")
	defer w.line("}")
	w.police()
	for _, f := range families {
		if loose {
			w.line("%s %s %s update @%s_open { %s saddr . meta l4proto . th sport%s %s }", fromInside, toOutside, ports, f.name, f.name,
				strings.Repeat(" . "+f.name+" daddr", btoi(remote)), w.life())
			w.line("%s %s %s daddr . meta l4proto . th dport%s @%s_open accept", fromOutside, ports, f.name,
				strings.Repeat(" . "+f.name+" saddr", btoi(remote)), f.name)
		}
	}
	w.line("ct status dnat accept\n%s ct state new,invalid drop", fromOutside)
}

// police writes what may not pass whatever is translated.
func (w *ruleWriter) police() {
	if w.cfg.AllowPorts != [4]uint16{} {
		var list []string
		for _, p := range w.cfg.AllowPorts {
			if p > 0 {
				list = append(list, fmt.Sprint(p))
			}
		}
		w.line("%s %s %s th dport != { %s } drop", fromInside, toOutside, ports, strings.Join(slices.Compact(list), ", "))
	}
	if w.cfg.BlockUDP {
		w.line("%s meta l4proto udp drop\n%s meta l4proto udp drop", toOutside, fromOutside)
	}
	if rate := w.cfg.UDPRate; rate > 0 {
		for _, way := range []string{toOutside, fromOutside} {
			w.line("%s meta l4proto udp limit rate over %d bytes/second burst %d bytes drop", way, max(rate/8, 1), max(rate/80, 4<<10))
		}
	}
}

// hashed is a number that depends on the internal endpoint.
const hashed = "jhash meta l4proto . ip saddr . th sport"

// translation returns the statement that gives packets with ports their external source.
//
// masquerade keeps the port if the whole tuple is free. A random port that depends on less than the whole
// tuple is a hash of what it depends on. A sequential one counts the flows.
func translation(cfg netsim.NATConfig) (string, error) {
	type mapping struct {
		netsim.Behavior
		netsim.PortPolicy
	}
	w := &ruleWriter{cfg: cfg}
	switch (mapping{cfg.Mapping, cfg.Ports}) {
	case mapping{netsim.EndpointIndependent, netsim.PreservePort}:
		return "masquerade", nil
	case mapping{netsim.EndpointIndependent, netsim.RandomPort}:
		return "masquerade to :" + portMap(hashed, w.free()), nil
	case mapping{netsim.AddressDependent, netsim.RandomPort}:
		return "masquerade to :" + portMap(hashed+" . ip daddr", w.free()), nil
	case mapping{netsim.AddressAndPortDependent, netsim.SequentialPort}:
		return "masquerade to :" + portMap("numgen inc", w.sequence()), nil
	case mapping{netsim.AddressAndPortDependent, netsim.RandomPort}:
		r := cfg.PortRange
		if r == (netsim.PortRange{}) {
			return "masquerade fully-random", nil
		}
		return fmt.Sprintf("masquerade to :%d-%d fully-random", r.Low, r.High), nil
	}
	return "", errMapping
}

// maxPorts is how many external ports a NAT draws from where it does not preserve
// them, at most: what a map holds that is read in a moment.
const maxPorts = 2048

// firstPort is where the ports begin of a NAT without a range.
const firstPort = 20000

// all returns the external ports, in order.
func (w *ruleWriter) all() (list []uint16) {
	r := w.cfg.PortRange
	if r == (netsim.PortRange{}) {
		r = netsim.PortRange{Low: firstPort, High: firstPort + maxPorts - 1}
	}
	for p := int(r.Low); p <= int(r.High) && len(list) < maxPorts; p++ {
		list = append(list, uint16(p))
	}
	return list
}

// free returns the external ports that nobody else holds, in an order in which neighbours are
// far from each other.
func (w *ruleWriter) free() (list []uint16) {
	all := w.all()
	n := int(float64(len(all)) * (1 - w.cfg.PortsTaken))
	const stride = 1657 // prime
	for i := range max(n, 1) {
		list = append(list, all[(i*stride)%len(all)])
	}
	return list
}

// sequence returns the external ports in the order in which flows get them.
func (w *ruleWriter) sequence() (list []uint16) {
	all, step := w.all(), cmp.Or(w.cfg.PortStep, 1)
	for i := range len(all) {
		list = append(list, all[((i*step)%len(all)+len(all))%len(all)])
	}
	return list
}

// portMap returns an expression that selects a port by a number that nftables computes.
func portMap(number string, ports []uint16) string {
	var b strings.Builder
	seed := "" // the same in all rules; without one each has its own
	if strings.HasPrefix(number, "jhash") {
		seed = " seed 0x4e415453"
	}
	fmt.Fprintf(&b, "%s mod %d%s map { ", number, len(ports), seed)
	for i, p := range ports {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d : %d", i, p)
	}
	b.WriteString(" }")
	return b.String()
}
