# agent-launcher. Needs Go and make; `bench` and `check` also gcc. The comment
# behind a target is its help.

GO       ?= go
FUZZTIME ?= 30s
BENCH    ?= .

BIN     := $(CURDIR)/bin
GO_MIN  := $(shell sed -n 's/^go //p' go.mod)
# Static programs that do not name this directory. Tests are built alike, so
# that SQLite and gRPC are compiled once for both. Parallel ones mostly wait.
LINK    := CGO_ENABLED=0 $(GO) build -trimpath
TEST    := CGO_ENABLED=0 $(GO) test -trimpath -parallel 4
# Packages with goroutines of their own.
RACE    := ./launcher/... ./fetch/... ./plugins/... ./sandbox/... ./controlplane/...

# Generated from a .proto file.
PROTO   := plugins/adapter/adapterpb

.PHONY: help
help: # this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*# \(.*\)/make \1\t\2/p' Makefile | expand -t 18

.PHONY: build
build: go # the programs, into bin/
	$(LINK) -o $(BIN)/ ./cmd/...
	$(LINK) -o $(BIN)/plugins/ ./plugins/process ./plugins/claude_local ./plugins/codex_local

.PHONY: demo
demo: build build-demo # show the main job on a control plane of its own
	@$(BIN)/demo/demo

# The demo, its agent and the memory scanner; tests use the latter two.
.PHONY: build-demo
build-demo: go
	$(LINK) -o $(BIN)/demo/ ./internal/demo ./internal/demo/agent ./internal/memscan/cmd/memscan

# Never from the cache: what the tests start is not all known to go test.
.PHONY: test
test: build build-demo # all tests; REQUIRE_SANDBOX=1 makes a skipped sandbox test fail
	AGENT_LAUNCHER_BIN=$(BIN) $(TEST) -count=1 -timeout 5m ./...

# What it installs stays in XDG_CACHE_HOME, else in /var/tmp.
.PHONY: e2e
e2e: build build-demo # real claude and codex as agents; needs npm, its registry and 800 MB
	AGENT_LAUNCHER_BIN=$(BIN) $(TEST) -tags e2e -count=1 -timeout 15m -run '^(TestCLIs|TestAdapters|TestRealAgents)$$' -v ./internal/e2e

.PHONY: soak
soak: build build-demo # a hundred agents and what goes wrong on a host, for SOAK (10m)
	AGENT_LAUNCHER_BIN=$(BIN) $(TEST) -tags soak -count=1 -timeout 24h -run '^TestSoak$$' -v ./internal/e2e

.PHONY: check
check: go gcc build build-demo # format, vet, staticcheck, drift of generated code, races
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "make: run gofmt -w on:" $$unformatted >&2; exit 1; fi
	$(GO) vet -tags e2e ./...
	$(GO) tool staticcheck -tags e2e ./...
	$(GO) mod tidy -diff
	@$(MAKE) --no-print-directory drift
	AGENT_LAUNCHER_BIN=$(BIN) CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 10m $(RACE)

# The generators' own versions in the headers may differ, nothing else.
.PHONY: drift
drift: go
	@command -v protoc >/dev/null || { echo "protoc is missing: generated code is not compared"; exit 0; }; \
	  old=$$(mktemp -d) && trap 'rm -rf "$$old"' EXIT && cp $(PROTO)/*.pb.go "$$old" && $(GO) generate ./$(PROTO) && \
	  for file in "$$old"/*.pb.go; do \
	    diff -u -I '^// .*protoc' "$$file" $(PROTO)/$$(basename "$$file") || \
	      { echo "make: $(PROTO) was out of date and is generated anew: commit it" >&2; exit 1; }; \
	  done && cp "$$old"/*.pb.go $(PROTO)/

.PHONY: bench
bench: go gcc build build-demo # all benchmarks; BENCH=regexp picks some
	AGENT_LAUNCHER_BIN=$(BIN) $(TEST) -p 1 -run '^$$' -bench '$(BENCH)' -benchmem -timeout 10m ./...

.PHONY: fuzz
fuzz: go # every fuzz target for FUZZTIME (30s) each
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
	  for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "$(GO) test -fuzz $$target $$(dirname $$file)"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$(dirname $$file) </dev/null || exit 1; \
	  done; \
	done

.PHONY: clean
clean: # remove bin/
	rm -rf $(BIN)

.PHONY: go
go:
	@command -v $(GO) >/dev/null || { echo "make: Go is missing, $(GO_MIN) or later is needed: https://go.dev/dl/" >&2; exit 1; }
	@have=$$($(GO) env GOVERSION) || exit 1; \
	  oldest=$$(printf '%s\n' "go$(GO_MIN)" "$$have" | sort -V | head -n 1); \
	  if [ "$$oldest" != "go$(GO_MIN)" ]; then echo "make: $$have is too old, Go $(GO_MIN) or later is needed: https://go.dev/dl/" >&2; exit 1; fi

.PHONY: gcc
gcc:
	@command -v gcc >/dev/null || { echo "make: gcc is missing: the race detector and the benchmarks' C child need it" >&2; exit 1; }
