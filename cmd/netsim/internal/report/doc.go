// Package report writes pages about what was simulated: each one file of HTML that holds its style and its
// pictures, asks nothing of a network, runs no script, and follows the reader's choice of
// light or dark. It is also well-formed XML.
package report
