// Package path owns the path: one way to a peer, a link and a remote address on
// it. A [Set] holds all paths of one peer and decides which is tried, which is
// believed, which carries the data, and when it is given up. It implements
// docs/spec/path.md, cited as "spec" with a section.
//
// A Set does no I/O and has no goroutine, no clock and no timer. Its owner calls
// a method for each event, with the time of the event; then it calls [Set.Poll],
// does what the returned actions say, and calls Poll again at the latest at
// [Set.Next]. Times must not go backwards. A Set is not safe for concurrent use.
package path
