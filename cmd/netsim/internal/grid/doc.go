// Package grid dials from behind each of some NATs to behind each other, from many seeds, and
// counts what came of it.
package grid
