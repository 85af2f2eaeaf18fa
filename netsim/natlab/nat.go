//go:build linux && natlab

package natlab

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

var (
	errMapping   = errors.New("the kernel maps endpoint-independent with preserved ports, or address-and-port-dependent with random ones")
	errFiltering = errors.New("the kernel filters address-and-port-dependent, or forwards everything")
	errFeature   = errors.New("the kernel has no limit of mappings to set, and does not hairpin")
)

// ruleset returns the nftables rules of a NAT. inside is where a full cone
// sends what nobody asked for; until it is valid there is no such rule.
//
// In the kernel's words: masquerade keeps the port if the whole tuple is free,
// and so maps endpoint-independent in effect (RFC 4787 §4.1); connection tracking lets in
// replies only, which is address-and-port-dependent filtering (§5).
func ruleset(cfg netsim.NATConfig, inside netip.Addr) (string, error) {
	source, err := translation(cfg)
	if err != nil {
		return "", err
	}
	if cfg.Hairpin || cfg.MaxMappings != 0 {
		return "", errFeature
	}
	var forwardAll bool
	switch cfg.Filtering {
	case netsim.AddressAndPortDependent:
	case netsim.EndpointIndependent:
		forwardAll = true
	default:
		return "", errFiltering
	}
	if forwardAll && (cfg.NoTranslation || cfg.Mapping != netsim.EndpointIndependent) {
		return "", errFiltering
	}

	var b strings.Builder
	rule := func(chain, hook, rule string) {
		fmt.Fprintf(&b, "\tchain %s { type %s; %s; }\n", chain, hook, rule)
	}
	b.WriteString("flush ruleset\ntable ip nat {\n")
	if source != "" {
		rule("postrouting", "nat hook postrouting priority srcnat", "oifname "+uplink+" "+source)
	}
	if forwardAll && inside.IsValid() {
		rule("prerouting", "nat hook prerouting priority dstnat",
			fmt.Sprintf("iifname %s meta l4proto udp dnat to %v", uplink, inside))
	}
	b.WriteString("}\ntable inet filter {\n")
	if !cfg.StealPorts {
		// An accepted packet that no socket wants is tracked all the same, and
		// the entry takes the port from the next mapping towards its source.
		// Only a dropped one leaves no trace.
		rule("input", "filter hook input priority filter",
			"iifname "+uplink+" meta l4proto { tcp, udp } ct state new,invalid drop")
	}
	rule("forward", "filter hook forward priority filter",
		"ct status dnat accept; iifname "+uplink+" ct state new,invalid drop")
	b.WriteString("}\n")
	return b.String(), nil
}

// translation returns the statement that gives packets their external source.
func translation(cfg netsim.NATConfig) (string, error) {
	type mapping struct {
		netsim.Behavior
		netsim.PortPolicy
	}
	if cfg.NoTranslation {
		return "", nil
	}
	switch (mapping{cfg.Mapping, cfg.Ports}) {
	case mapping{netsim.EndpointIndependent, netsim.PreservePort}:
		return "masquerade", nil
	case mapping{netsim.AddressAndPortDependent, netsim.RandomPort}:
		return "masquerade fully-random", nil
	}
	return "", errMapping
}

// loadRules makes the node the NAT that it is configured to be.
func (n *Node) loadRules() {
	n.lab.t.Helper()
	rules, err := ruleset(n.nat, n.inside)
	n.must(err)
	_, err = n.ns.run(rules, "nft", "-f", "-")
	n.must(err)
	if n.nat.Timeout <= 0 {
		return
	}
	seconds := strconv.Itoa(int(max(n.nat.Timeout/time.Second, 1)))
	n.must(n.ns.sysctl("netfilter/nf_conntrack_udp_timeout", seconds))
	n.must(n.ns.sysctl("netfilter/nf_conntrack_udp_timeout_stream", seconds))
}

// expose makes the first host below a full cone the one that gets everything.
func (n *Node) expose(addrs []netip.Prefix) {
	n.lab.t.Helper()
	if n.inside.IsValid() || n.nat.Filtering != netsim.EndpointIndependent {
		return
	}
	for _, p := range addrs {
		if p.Addr().Is4() {
			n.inside = p.Addr()
			n.loadRules()
			return
		}
	}
}
