// Package scenario is the file that says what is simulated: a network, who is on it, what
// happens in which order, and what is expected of it. docs/netsim/scenario.md is the
// reference of its format.
//
// [Parse] reads a file. What it returns is consistent: every name leads to
// something, every node but one leads up to another. Types are plain data, so that a
// driver other than the simulator can build the same network.
package scenario
