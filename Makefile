# `make help` lists the targets; .ci/run is what CI runs.
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:

# Versions of the tools that tests use; hack/setup.sh installs them below .cache.
export STATICCHECK_VERSION := v0.8.1
export GOLANGCI_LINT_VERSION := v2.12.2
export GO_JSONNET_VERSION := v0.22.0
export KUSTOMIZE_VERSION := v5.8.2
export SOPS_VERSION := v3.13.3

TOOLS := $(CURDIR)/.cache/tools
export PATH := $(TOOLS):$(PATH)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: build
build: bin/holdfast ## build bin/holdfast, a static binary

.PHONY: bin/holdfast
bin/holdfast:
	@CGO_ENABLED=0 go build -trimpath -o $@ ./cmd/holdfast

.PHONY: demo
demo: build ## render the layout B example to bin/demo and print its plan
	@bin/holdfast render -s examples/layout-b -c examples/layout-b -o bin/demo
	@bin/holdfast plan -s examples/layout-b -c examples/layout-b

# What a change breaks most often. Nothing here needs root, Git or a tool besides Go.
.PHONY: quick
quick: ## build, vet, and the tests that take seconds; needs only Go
	@go build ./...
	@go vet ./...
	@status=0; export GOGC=400; \
	go test -short $$(go list ./... | grep -vE '/(attack|cmd/holdfast|renderer|renderer/emit|renderer/publish)$$') || status=1; \
	go test -short ./renderer -run TestErrors || status=1; exit $$status

.PHONY: test
test: setup lint ## run everything that must pass
	go test -timeout 30m ./...
	cd oracle && go test -timeout 30m ./...

.PHONY: e2e
e2e: ## run every script against the real servers (as root; installs and builds them first)
	@e2e/run.sh

.PHONY: e2e-data
e2e-data: ## the same with the whole of the data sets that others wrote, at size (takes hours)
	@HOLDFAST_DATA=whole e2e/run.sh data

.PHONY: e2e-newer
e2e-newer: ## the databases and the directory of the next Debian: PostgreSQL 17, MariaDB 11.8
	@e2e/newer.sh

.PHONY: e2e-cluster
e2e-cluster: ## back up, destroy and restore a real cluster (as root; installs and builds it first)
	@e2e/cluster/run.sh

.PHONY: setup
setup: ## install the tools of the tests
	@hack/setup.sh

.PHONY: lint
lint: setup ## check the form of Go, shell and jsonnet
	@hack/lint.sh

.PHONY: golden
golden: ## rewrite all expected outputs; read the diff
	@hack/setup.sh jq kustomize sops
	go test ./golden -update
	go test ./renderer -run TestErrors -update
	HOLDFAST_UPDATE=1 go test ./cmd/holdfast -run TestScript
	go test ./cmd/holdfast -run TestReadme -update-readme

.PHONY: check
check: build ## validate all examples and compare them with their golden trees
	@hack/check.sh

.PHONY: dist
dist: ## build the release to bin/dist: binaries, what is in them, checksums
	@hack/dist.sh

.PHONY: bench
bench: build setup ## measure each step and fleets, and compare with kustomize
	@hack/bench.sh

.PHONY: bench-data
bench-data: ## time dumps and copies beside the plain tools, in one run (as root)
	@e2e/run.sh bench

.PHONY: fuzz
fuzz: ## fuzz the loader, the decoder and the emitter for a minute each
	@# Go would take a minute to make each new input smaller, and try nothing meanwhile.
	go test ./renderer/input -run '^$$' -fuzz FuzzLoad -fuzztime 60s -fuzzminimizetime 1x
	go test ./renderer/input -run '^$$' -fuzz FuzzValidate -fuzztime 60s -fuzzminimizetime 1x
	go test ./renderer/manifest -run '^$$' -fuzz FuzzAppendYAML -fuzztime 60s -fuzzminimizetime 1x
	go test ./renderer/manifest -run '^$$' -fuzz FuzzDecode -fuzztime 60s -fuzzminimizetime 1x

.PHONY: attack
attack: ## attack the program from outside for half an hour, with mutations, kills and hostile folders
	HOLDFAST_ATTACK=$${HOLDFAST_ATTACK:-5m} go test -count=1 -timeout 60m -v ./attack -run .
