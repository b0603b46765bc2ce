# proxy-rlhf: `make` lists what there is to make.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What you may set on the command line, as in `make demo CONFIG=my.yaml`:
CONFIG    ?= configs/direct.yaml# run configuration of the demo
BACKEND   ?= cpu# cpu, cuda, vulkan or rocm
TESTFLAGS ?=# more flags for go test, as in TESTFLAGS=-v

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# The build program; it also runs commands against the patched Ollama.
PATCHED := go run ./plugin/build
WITH    := $(PATCHED) -exec --

# Linker flags of OpenBLAS, empty without it. Asked for when a recipe needs it, once.
BLAS    = $(eval BLAS := $$(shell .ci/openblas.sh))$(BLAS)
BLASTAG = $(if $(BLAS),openblas)

# Every package but the end-to-end tests, which need the patched tree.
UNIT = $$(go list ./... | grep -v '/integration')

.PHONY: help deps build stock ollama trainer model numpy demo test unit-test blas-test \
	integration-test upstream-test bench-once bench learn lint clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## check for compilers, headers and libraries, and install them where that is possible
	@.ci/deps.sh

build: deps ollama trainer ## bin/ollama (patched) and bin/proxy-trainer

ollama: deps
	@$(PATCHED) -backend $(BACKEND) -o bin/ollama

trainer: deps
	@CGO_LDFLAGS="$(BLAS)" go build -tags "$(BLASTAG)" -o bin/proxy-trainer ./trainer

stock: deps ## bin/ollama-stock, the unpatched twin that tests and benchmarks compare with
	@$(PATCHED) -o "" -stock bin/ollama-stock

model: deps ## the default model, SmolLM2-135M-Instruct, in .cache/models
	@.ci/model.sh

numpy: ## NumPy for the check of traces in Python, in .cache/python, if Python has none
	@.ci/numpy.sh

demo: build model ## train a proxy, attach it, and show what it changes (CONFIG=…)
	@bin/proxy-trainer demo --config $(CONFIG)

test: unit-test blas-test upstream-test integration-test bench-once ## every test: ours, Ollama's of what we patch, end to end

unit-test: deps ## the packages on their own, with the race detector
	go test -race $(TESTFLAGS) $(UNIT)

blas-test: deps ## the trainer again on OpenBLAS, if it is installed
	$(if $(BLAS),CGO_LDFLAGS="$(BLAS)" go test -tags openblas $(TESTFLAGS) ./trainer/...,@echo "OpenBLAS not installed: its tests are left out")

upstream-test: deps ## Ollama's own tests of the packages that we patch, patched
	$(PATCHED) -test-upstream -- $(TESTFLAGS)

integration-test: stock build model numpy ## the real bin/ollama, the real model, the real trainer
	$(WITH) go test -tags patched -count=1 -timeout 60m $(TESTFLAGS) ./integration/...

bench-once: deps
	go test -run '^$$' -bench . -benchtime 1x $(UNIT)

bench: stock build model ## every benchmark, the end-to-end ones against the unpatched twin
	CGO_LDFLAGS="$(BLAS)" go test -tags "$(BLASTAG)" -run '^$$' -bench . -benchmem $(UNIT)
	$(WITH) go test -tags patched -count=1 -timeout 60m -run '^$$' -bench . ./integration/...

# The checks read PROXY_RLHF_ALL_SEEDS.
learn: build stock model ## the learning checks with every use, both kinds of features and three seeds (more than an hour)
	PROXY_RLHF_ALL_SEEDS=1 $(WITH) go test -tags patched -count=1 -timeout 3h -run 'TestLearn$$' -v ./integration/

# Twice: as built by default, and with every build tag. Neither needs the patched tree.
lint: deps ## gofmt, go vet, staticcheck
	@unformatted=$$(git ls-files -co --exclude-standard -- '*.go' '*.go.in' | xargs gofmt -l); \
	if [[ -n $$unformatted ]]; then echo "not formatted, run gofmt -w on:" $$unformatted >&2; exit 1; fi
	@GOBIN="$(CURDIR)/build/tools" go install $(STATICCHECK)
	CGO_LDFLAGS="$(BLAS)" go vet -tags "$(BLASTAG)" ./...
	CGO_LDFLAGS="$(BLAS)" build/tools/staticcheck -tags "$(BLASTAG)" ./...
	$(WITH) go vet -tags patched ./integration/
	@# staticcheck does not bear the build program's -modfile: a workspace says the same.
	@{ echo "go 1.26.0"; echo "use .."; grep '^replace github.com/ollama/ollama' build/go.mod; } > build/go.work
	$(WITH) env -u GOFLAGS GOWORK="$(CURDIR)/build/go.work" build/tools/staticcheck -tags patched ./integration/

clean: ## remove what was built here; models and the shared build folder in the user's cache stay
	rm -rf bin build lib
