// Package bench is the service bench: it measures what the connection of two
// devices carries. A [Server] answers, and [FirstByte], [Move] and [Ask]
// measure. It implements docs/spec/bench.md, which comments cite as "spec"
// with a section.
package bench
