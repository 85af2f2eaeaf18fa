// Package operator is what the operator of a server sees of it: the configuration file, log
// lines, the line that says that it is ready, signals, and the HTTP listener for metrics and
// health.
package operator
