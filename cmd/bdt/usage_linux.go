package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor times in /proc: USER_HZ, 100 a second on
// all architectures that Go runs on.
const clockTick = 10 * time.Millisecond

// processUsage returns the processor time that a process has used and its
// resident memory in bytes (proc(5)).
func processUsage(pid int) (cpu time.Duration, rss int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may hold anything; after it come the state, field 3, and so on.
	_, rest, _ := strings.Cut(string(b[max(strings.LastIndexByte(string(b), ')'), 0):]), " ")
	fields := strings.Fields(rest)
	const utime, stime, pages = 14 - 3, 15 - 3, 24 - 3
	if len(fields) <= pages {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	var n [3]int64
	for i, f := range []int{utime, stime, pages} {
		if n[i], err = strconv.ParseInt(fields[f], 10, 64); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
	}
	return time.Duration(n[0]+n[1]) * clockTick, n[2] * int64(os.Getpagesize()), nil
}
