// Package simulate runs a scenario on package netsim, with unmodified stacks and super
// nodes. In a bubble (package virtual) it does so in virtual time, else in
// real time.
package simulate
