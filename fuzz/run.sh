#!/bin/sh
# Runs every fuzz target of the module for the given time (default 10s), one after the other.
# Each package is compiled once, as go test -fuzz would compile it for each target; what was found
# interesting goes where go test keeps it, and a failing input to the package's testdata/fuzz.
set -eu
time=${1:-10s}
cd "$(dirname "$0")/.."
cache=$(go env GOCACHE)/fuzz
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
trap 'exit 1' HUP INT TERM
go list -f '{{.Dir}} {{.ImportPath}}' ./... | while read -r dir pkg; do
	grep -qs '^func Fuzz' "$dir"/*_test.go || continue
	go test -c -fuzz=. -o "$bin/test" "$pkg"
	cd "$dir"
	for target in $("$bin/test" -test.list '^Fuzz'); do
		echo "fuzz $pkg $target"
		"$bin/test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" -test.fuzzcachedir "$cache/$pkg" </dev/null
	done
	cd - >/dev/null
done
