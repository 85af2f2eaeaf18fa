package simulate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bdtnet/bdt/cmd/netsim/internal/scenario"
)

// check holds outcomes to what is wanted of each: "" that it is met, else part of why it is not.
func check(t *testing.T, r *scenario.Result, want ...string) {
	t.Helper()
	if len(r.Steps) != len(want) {
		t.Fatalf("%d steps, want %d", len(r.Steps), len(want))
	}
	for i, o := range r.Steps {
		if o.Met != (want[i] == "") || !strings.Contains(o.Why, want[i]) {
			t.Errorf("step %d: %s: met %v, %s; want %q", i, o.Text, o.Met, o.Why, want[i])
		}
	}
}

// each step changes what the next one finds.
func TestChanges(t *testing.T) {
	check(t, run(t, homes+`
  - dial: alice to bob
  - cut: home-b-internet
  - dial: bob to alice
    expect: {error: timeout}
  - mend: home-b-internet
  - ping: alice to bob
  - set: {link: home-b-internet, delay: 200ms}
  - ping: {from: alice, to: bob, count: 2}
    expect: {within: 300ms}
  - reboot: home-a
  - ping: alice to bob
  - reboot: internet
  - move: {host: alice, to: internet, addrs: 198.51.100.77, delay: 1ms}
  - wait: 3s
  - dial: bob to alice
    expect: {path: direct}
  - remove: {host: alice, addrs: 198.51.100.77}
  - add: {host: alice, link: alice-internet, addrs: [198.51.100.78, '2001:db8::78']}
  - wait: 3s
  - dial: bob to alice
    expect: {path: direct}
  - remove: {host: alice, addrs: 198.51.100.77}
  - add: {host: bob, link: bob-home-b, addrs: 198.18.2.9/24}
  - move: {host: alice, to: home-a, link: again}
  - cut: alice-home-a
  - mend: again
  - wait: 5s
  - ping: bob to alice
`), "", "", "", "", "", "", "it took 4", "", "", "", "", "", "", "", "", "", "", "not its own", "", "", "", "", "", "")
}

// What is timed happens at its time, whatever goes on, and what is not when all before it is over.
func TestTimes(t *testing.T) {
	r := run(t, homes+`
  - at: 3s
    cut: {link: home-b-internet, for: 4s}
  - at: 1s
    wait: 4s
  - at: 2s
    dial: alice to bob
  - wait: 1s
  - at: 500ms
    online: alice
`)
	check(t, r, "", "", "", "", "")
	for i, want := range []struct{ began, took time.Duration }{
		{3 * time.Second, 4 * time.Second}, {time.Second, 4 * time.Second}, {2 * time.Second, 0}, {7 * time.Second, time.Second}, {500 * time.Millisecond, 0},
	} {
		o := r.Steps[i]
		if o.Began != want.began || want.took > 0 && o.Took != want.took {
			t.Errorf("step %d: %s began at %v and took %v, want %v", i, o.Text, o.Began, o.Took, want)
		}
	}
}

func TestMembers(t *testing.T) {
	text := strings.Replace(homes, "  bob:\nsteps", "  bob: {owner: robert, ood: true, access: zone}\n  phone: {host: alice, owner: robert, stopped: true, visible: nobody}\nsteps", 1)
	check(t, run(t, text+`
  - dial: alice to bob
    expect: {error: refuses}
  - dial: phone to bob
    expect: {error: does not run}
  - start: phone
  - start: phone
  - online: phone
    expect: {within: 1s}
  - dial: phone to bob
  - stop: bob
  - stop: bob
  - call: phone to bob
    expect: {path: none}
  - start: bob
  - call: phone to bob
  - stop: sn
  - stop: phone
  - start: phone
  - online: phone
    expect: {within: 1s}
  - start: sn
  - start: sn
  - online: phone
`), "", "", "", "runs already", "", "", "", "", "", "", "", "", "", "", "no super node has served it for 2s", "", "runs already", "")
}

func TestExpectations(t *testing.T) {
	check(t, run(t, homes+`
  - set: {link: home-a-internet, rate: 10Mbit}
  - netcheck: alice
    expect: {udp: yes, mapping: endpoint-independent, filtering: address-and-port-dependent, hairpin: no, ports: yes}
  - netcheck: alice
    expect: {udp: no, mapping: address-dependent}
  - dial: alice to bob
    expect: {error: refuses}
  - dial: alice to bob
    expect: {error: refuses, within: 1s}
  - ping: {from: alice, to: bob, count: 10, every: 100ms}
    expect: {lost: 10%}
  - at: 10s
    ping: {from: alice, to: bob, count: 10}
    expect: {lost: 10%}
  - at: 11s
    stop: bob
  - start: bob
  - at: 150s
    transfer: {from: alice, to: bob, size: 1MB}
    expect: {stall: 1ms}
  - at: 160s
    transfer: {from: bob, to: alice, size: 100MB}
  - at: 161s
    stop: alice
  - dial: bob to alice
    expect: {path: none, within: 1ms}
`), "", "", "udp is yes, mapping is endpoint-independent", "it succeeded", "it succeeded", "", "were not answered", "", "", "nothing arrived for", "of 100000000 bytes", "", "to fail")
}

func TestLoad(t *testing.T) {
	text := strings.Replace(homes, "  bob:\nsteps", "  city: {host: bob, count: 20}\nsteps", 1)
	r := run(t, text+`
  - load: {devices: city, do: register}
  - load: {devices: city, do: rest, for: 1m}
  - load: {devices: city, do: ping, for: 2s, at-once: 2}
  - load: {devices: city, do: call, for: 1s, at-once: 1}
    expect: {lost: 50%}
  - stop: sn
  - load: {devices: city, do: call, for: 10s}
`)
	check(t, r, "", "", "", "", "", "failed")
	if o := r.Steps[0]; !strings.Contains(o.Detail, "20 done, 0 failed") || !strings.HasSuffix(o.Detail, "20 online") {
		t.Errorf("%+v", o)
	}
}

// A scenario ends at its limit, with what was not done by then failed.
func TestLimit(t *testing.T) {
	r := run(t, "limit: 10s"+homes+`
  - wait: 1m
  - dial: alice to bob
`)
	check(t, r, "reached its limit, 10s", "reached its limit")
	if r.Virtual > 12*time.Second {
		t.Errorf("took %v", r.Virtual)
	}
}
