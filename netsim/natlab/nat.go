package natlab

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bdtnet/bdt/netsim"
)

// What the kernel's NATs cannot be.
var (
	errMapping = errors.New("the kernel maps endpoint-independent with preserved or random ports, " +
		"address-dependent with random ones, or address-and-port-dependent with random or sequential ones")
	errHairpin  = errors.New("the kernel hairpins only where it maps endpoint-independent")
	errRange    = errors.New("the kernel leaves the range to preserve a port")
	errFirewall = errors.New("a firewall that translates nothing has no ports, no hairpin and no limit of mappings")
	errFew      = fmt.Errorf("the kernel cannot be kept to fewer than %d mappings", enoughMappings)
)

// enoughMappings are more than a topology that is built here has need of: a limit above it changes nothing.
const enoughMappings = 256

// CheckNAT returns why the kernel cannot be a NAT, or nil. [Beside] says what it is beside that.
func CheckNAT(cfg netsim.NATConfig) error {
	if names := unknown(cfg); len(names) > 0 {
		return fmt.Errorf("the kernel's NATs have no %s", strings.Join(names, ", "))
	}
	if cfg.MaxMappings > 0 && cfg.MaxMappings < enoughMappings {
		return errFew
	}
	if cfg.NoTranslation {
		if cfg.Hairpin || cfg.PortRange != (netsim.PortRange{}) || cfg.PortsTaken > 0 {
			return errFirewall
		}
		return nil
	}
	if cfg.Ports == netsim.PreservePort && (cfg.PortRange != (netsim.PortRange{}) || cfg.PortsTaken > 0) {
		return errRange
	}
	if cfg.Hairpin && cfg.Mapping != netsim.EndpointIndependent {
		return errHairpin
	}
	_, err := translation(cfg)
	return err
}

// Beside returns how the kernel's NAT differs from the configuration without a difference to who
// reaches whom, in a topology of a few hosts and within the life of mappings.
func Beside(cfg netsim.NATConfig) (list []string) {
	if !cfg.InboundRefresh {
		list = append(list, "mappings that packets in do not refresh")
	}
	if cfg.MaxMappings > 0 {
		list = append(list, "the limit of mappings")
	}
	if cfg.TCPTransitory > 0 {
		list = append(list, "the life of TCP connections that are opened or closed")
	}
	return list
}

// unknown names the fields of a configuration that mean something and are not known here. So
// what the simulator learns is refused until the kernel has learnt it too.
func unknown(cfg netsim.NATConfig) (names []string) {
	known := []string{
		"Mapping", "Filtering", "Ports", "PortStep", "PortRange", "PortsTaken", "Hairpin", "NoTranslation", "MaxMappings",
		"Timeout", "UnrepliedTimeout", "InboundRefresh", "TCPTimeout", "TCPTransitory", "BlockUDP", "UDPRate", "AllowPorts", "StealPorts",
	}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !slices.Contains(known, name) && !v.Field(i).IsZero() {
			names = append(names, name)
		}
	}
	return names
}

// defaultTimeout is the life of a mapping, as the simulator has it.
const defaultTimeout = 120 * time.Second

// seconds is a time as the kernel takes it.
func seconds(d time.Duration) int { return int(max(d/time.Second, 1)) }

// loadRules makes the node the NAT that it is configured to be.
func (n *Node) loadRules() error {
	rules, err := ruleset(n.nat, n.up[0].external())
	if err != nil {
		return err
	}
	if err := n.pipe(rules, "nft", "-f", "-"); err != nil {
		return err
	}
	timeout := n.nat.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	first := n.nat.UnrepliedTimeout
	if first <= 0 {
		first = timeout
	}
	lives := []struct {
		key  string
		life time.Duration
	}{{"udp_timeout", first}, {"udp_timeout_stream", timeout}, {"tcp_timeout_established", n.nat.TCPTimeout}}
	for _, l := range lives {
		if l.life <= 0 {
			continue
		}
		if err := n.ns.sysctl("netfilter/nf_conntrack_"+l.key, strconv.Itoa(seconds(l.life))); err != nil {
			return err
		}
	}
	return nil
}
