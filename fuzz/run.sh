#!/bin/sh
# Runs every fuzz target of the module for the given time (default 10s), one after the other.
# Each package is compiled once, as go test -fuzz would compile it for each target; what was found
# interesting goes where go test keeps it, and a failing input to the package's testdata/fuzz.
set -eu
time=${1:-10s}
cd "$(dirname "$0")/.."
cache=$(go env GOCACHE)/fuzz
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
go list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue
	go test -c -fuzz=. -o "$tmp/test" "$pkg"
	cd "$dir"
	for target in $("$tmp/test" -test.list '^Fuzz'); do
		echo "fuzz $pkg $target"
		status=0
		"$tmp/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzminimizetime 1s \
			-test.fuzzcachedir "$cache/$pkg" </dev/null >"$tmp/log" 2>&1 || status=$?
		cat "$tmp/log"
		[ "$status" -ne 0 ] || continue
		# Go before 1.27 may call the end of the time a failure (go.dev/issue/75804).
		[ "$(sed -n '/^--- FAIL/{n;p;}' "$tmp/log")" = "    context deadline exceeded" ] || exit "$status"
	done
	cd - >/dev/null
done
