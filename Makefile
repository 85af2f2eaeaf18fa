# Everything here needs Go and git alone, but for nat-lab (root, Linux, iproute2, nftables).
GO       ?= go
FUZZTIME ?= 10s
BENCH    ?= .

.PHONY: build test demo bench fuzz lint nat-lab soak cover clean

build: ## build the commands into bin/
	$(GO) build -o bin/ ./cmd/...

test: ## all tests that need neither root nor much time
	$(GO) test ./...

demo: build ## two devices behind simulated NATs dial each other by id
	./bin/bdt demo

bench: ## benchmarks, side by side in one run
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime 1s ./...
	$(GO) test -run '^$$' -bench MemoryPerDevice -benchtime 100000x ./sn
	$(GO) test -run '^$$' -bench MemoryPerPair -benchtime 100000x ./pn

fuzz: ## FUZZTIME of each fuzz target
	./fuzz/run.sh $(FUZZTIME)

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

nat-lab: build ## real binaries in network namespaces behind kernel NATs, and the simulator held against them (root, Linux)
	$(GO) test -count=1 -tags natlab -v ./netsim/natlab ./cmd/netsim/internal/kernel
	./bin/netsim compare --grid docs/netsim/samples/*.yaml

soak: ## the long versions: repeats, races, long fuzzing
	$(GO) test -race -count=20 ./...
	./fuzz/run.sh 5m

cover: ## statement coverage outside cmd, by the tests of all packages
	$(GO) test -coverprofile=cover.out -coverpkg=$$($(GO) list ./... | grep -v /cmd/ | paste -sd, -) $$($(GO) list ./... | grep -v /cmd/)
	$(GO) tool cover -func=cover.out | tail -1

clean:
	rm -rf bin cover.out
