//go:build linux && natlab

package natlab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bdtnet/bdt/netsim"
)

// users returns the threads of this machine that live in a namespace, named as
// the kernel does: net:[inode].
func users(t *testing.T, namespace string) (threads []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	if err != nil || len(links) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, l := range links {
		if ns, err := os.Readlink(l); err == nil && ns == namespace {
			threads = append(threads, l)
		}
	}
	return threads
}

// machine describes the network outside of all labs.
func machine(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, c := range []string{"ip link", "ip address", "ip route", "ip -6 route", "ip netns", "nft list ruleset",
		"cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/default/accept_dad"} {
		args := strings.Fields(c)
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
		fmt.Fprintf(&b, "%s:\n%s", c, out)
	}
	return b.String()
}

func TestLeavesNothing(t *testing.T) {
	before := machine(t)
	var names []string
	t.Run("lab", func(t *testing.T) {
		c := newChain(t, netsim.FullCone, netsim.Symmetric)
		alice := c.lab.Host("alice")
		c.lab.Connect(alice, c.natA, aliceAddr+"/24")
		alice.Start("sleep", "1000")
		for _, n := range []*tnode{alice, c.natA, c.core} {
			name, err := os.Readlink(n.ns.path)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, name)
			if len(users(t, name)) == 0 {
				t.Errorf("nobody is in %s", n.Name)
			}
		}
		if during := machine(t); during != before {
			t.Errorf("the machine's network changed:\n%s\nwas:\n%s", during, before)
		}
	})
	for _, name := range names {
		if u := users(t, name); len(u) > 0 {
			t.Errorf("%s is still used by %v", name, u)
		}
	}
	if after := machine(t); after != before {
		t.Errorf("the machine's network changed:\n%s\nwas:\n%s", after, before)
	}
}

// A lab ends with its process, and with it what runs in the lab.
func TestKilled(t *testing.T) {
	if os.Getenv("NATLAB_VICTIM") != "" {
		alice := newLab(t).Host("alice")
		p := alice.Start("sleep", "1000")
		name, err := os.Readlink(alice.ns.path)
		fmt.Println("ready", "pid="+strconv.Itoa(p.cmd.Process.Pid), "ns="+name, err)
		<-t.Context().Done()
	}
	lab := newLab(t)
	victim := lab.Host("victim").Start("env", "NATLAB_VICTIM=1", os.Args[0], "-test.run=^TestKilled$")
	ready := victim.Ready()
	pid, err := strconv.Atoi(ready["pid"])
	if err != nil {
		t.Fatal(err)
	}
	sleeper, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sleeper)
	if len(users(t, ready["ns"])) == 0 {
		t.Fatalf("nobody is in %s", ready["ns"])
	}

	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-victim.ended
	fds := []unix.PollFd{{Fd: int32(sleeper), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(patience.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			t.Fatalf("the program in the lab outlives it: %v", err)
		}
		break
	}
	if u := users(t, ready["ns"]); len(u) > 0 {
		t.Errorf("%s is still used by %v", ready["ns"], u)
	}
}

// Hosts of one subnet on a switch are neighbours: a packet that no router may forward gets
// from one to the other, and not to a host of another subnet.
func TestNeighbours(t *testing.T) {
	lab := newLab(t)
	home := lab.Router("home")
	alice, arthur, bob := lab.Host("alice"), lab.Host("arthur"), lab.Host("bob")
	wire := lab.Switch("wire")
	lab.Connect(wire, home)
	lab.Connect(alice, wire, aliceAddr+"/24")
	lab.Connect(arthur, wire, arthurAddr+"/24", "2001:db8:5::3/64")
	lab.Connect(bob, home, bobAddr+"/24")
	a, r, b := open(t, alice, 5000), open(t, arthur, 5000), open(t, bob, 5000)
	a.send(at(arthurAddr, 5000), "near", 1)
	if text, from := r.receive(); text != "near" || from != at(aliceAddr, 5000) {
		t.Errorf("arthur got %q from %v", text, from)
	}
	a.send(at(bobAddr, 5000), "far", 1)
	if heard := b.hears(a, at(aliceAddr, 5000), at(bobAddr, 5000)); slices.Contains(heard, "far") {
		t.Error("a packet with hop limit 1 was forwarded")
	}
}

// The interfaces of a node and what runs there are its own.
func TestOwnNetwork(t *testing.T) {
	lab := newLab(t)
	core, alice := lab.Router("core"), lab.Host("alice")
	lab.Connect(alice, core, "198.18.1.2/24", "2001:db8:5::2/64")
	out, err := alice.Run(t.Context(), "ip", "-o", "address", "show", "scope", "global")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 3 {
			got = append(got, f[1]+" "+f[3])
		}
	}
	want := []string{"uplink 198.18.1.2/24", "uplink 2001:db8:5::2/64"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := alice.ListenUDP(netip.MustParseAddrPort("198.18.1.1:0")); err == nil {
		t.Error("alice listens at the router's address")
	}
}

// A NAT forgets after the time that it is configured to.
func TestTimeout(t *testing.T) {
	lab := newLab(t)
	core := lab.Router("core")
	home := lab.NAT("home", with(netsim.PortRestricted, func(c *netsim.NATConfig) { c.Timeout = 7e9 }))
	lab.Connect(home, core, "198.51.100.2/24")
	for _, key := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		out, err := home.Run(t.Context(), "cat", "/proc/sys/net/netfilter/"+key)
		if err != nil || strings.TrimSpace(string(out)) != "7" {
			t.Errorf("%s is %s, %v", key, out, err)
		}
	}
}

// fatal is a testing.TB whose Fatal ends the goroutine and is remembered.
type fatal struct {
	testing.TB
	text string
}

func (f *fatal) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	panic(f)
}

// complaint runs f on a lab and returns what it fails with.
func complaint(t *testing.T, f func(tlab)) (text string) {
	tb := &fatal{TB: t}
	defer func() {
		if r := recover(); r != nil && r != any(tb) {
			panic(r)
		}
		text = tb.text
	}()
	f(tlab{newLab(t).Lab, tb})
	return ""
}

func TestMisuse(t *testing.T) {
	must := func(t testing.TB, err error) {
		if err != nil {
			t.Fatalf("%v", err)
		}
	}
	for _, test := range []struct {
		want string
		f    func(l tlab)
	}{
		{"alice is a host", func(l tlab) { l.Connect(l.Host("bob"), l.Host("alice"), "198.18.1.2/24") }},
		{"it has an uplink", func(l tlab) {
			core, r := l.Router("core"), l.Router("below")
			l.Connect(r, core, "198.18.1.2/24")
			l.Connect(r, core, "198.18.2.2/24")
		}},
		{"must come before", func(l tlab) {
			r, below := l.Router("core"), l.Router("below")
			l.Connect(l.Host("alice"), below, "198.18.1.2/24")
			l.Connect(below, r, "198.18.2.2/24")
		}},
		{"unable to parse IP", func(l tlab) { l.Connect(l.Host("alice"), l.Router("core"), "alice") }},
		{"have no Delay", func(l tlab) {
			must(l.t, l.Lab.Connect(l.Host("alice").Node, l.Router("core").Node, netsim.LinkConfig{Delay: 1}, "198.18.1.2"))
		}},
		{"NAT home: the kernel's NATs have no Contention", func(l tlab) { l.NAT("home", netsim.NATConfig{Contention: 1}) }},
		{"no-such-program", func(l tlab) { l.Host("alice").Start("no-such-program") }},
		{"ended before it was ready", func(l tlab) { l.Host("alice").Start("true").Ready() }},
	} {
		if got := complaint(t, test.f); !strings.Contains(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := New(); err == nil || !strings.Contains(err.Error(), "install the package iproute2") {
		t.Errorf("%v", err)
	}
}

func TestRun(t *testing.T) {
	alice := newLab(t).Host("alice")
	out, err := alice.Run(t.Context(), "sh", "-c", "echo out; echo why >&2; exit 3")
	if string(out) != "out\n" || err == nil || !strings.Contains(err.Error(), "why") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("got %q, %v", out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := alice.Run(ctx, "sleep", "1000"); err == nil {
		t.Error("a program ran after its time")
	}
}
