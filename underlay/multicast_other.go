//go:build !linux

package underlay

// onlyJoined does nothing: elsewhere a socket receives from no other groups.
func onlyJoined(uintptr, bool) {}
