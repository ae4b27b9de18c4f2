# Targets do their own set-up. 'make help' lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local

MODULES  := $(dir $(wildcard */go.mod examples/*/go.mod))
PROGRAMS := mailwright sandbox directory-svc mailbox-svc delegation-svc inventory-svc projection-svc

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build every program into bin/.
	@mkdir -p bin
	@cd services && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o ../bin/ $(addprefix ./,$(PROGRAMS))

.PHONY: images
images: build ## Build the programs' images, mailwright/<program>:dev, and get those of NATS and Postgres.
	@scripts/servers
	@scripts/images dev $(PROGRAMS)

.PHONY: up
up: images ## Start everything in containers, on 127.0.0.1, and wait until it is healthy.
	@scripts/compose up

.PHONY: logs
logs: ## Follow the logs of what 'make up' started.
	@scripts/compose logs -f

.PHONY: down
down: ## Stop and remove what 'make up' started; VOLUMES=1 removes the data too.
	@scripts/compose down $(if $(VOLUMES),-v)

.PHONY: demo
demo: build ## Start everything, carry out the vendors' own examples, stop. KEEP=1 stays up.
	@bin/mailwright demo $(if $(KEEP),--keep)

.PHONY: dev
dev: build ## Run everything on this machine until Ctrl-C; state in .mailwright.
	@bin/mailwright dev

.PHONY: test
test: ## Run every test, on real NATS, Postgres and processes.
	@scripts/test

.PHONY: conformance
conformance: ## Hold every documented fact of the vendors against clients and sandbox; the table is in build/conformance.json too.
	@scripts/conformance

.PHONY: guarantees
guarantees: build ## Attack each guarantee and prove that it was kept. LONG=1: 100,000 commands, 500 kills. PROVE=1: the checkers. SEED=n repeats a run. BACKLOG=n: work off a backlog.
	@cd services && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o ../bin/ ./guarantees
	@bin/guarantees $(if $(LONG),--long) $(if $(PROVE),--prove) $(if $(SEED),--seed $(SEED)) $(if $(BACKLOG),--backlog $(BACKLOG))

.PHONY: bench
bench: ## Measure the pipeline against a hand-written floor in the same run; results in build/bench.json.
	@mkdir -p build
	@cd pkg && BENCH_JSON=$(CURDIR)/build/bench.json go test -run '^$$' -bench Pipeline -benchtime 1x -timeout 15m ./operation | grep -E 'of the floor|^(ok|FAIL|---)'

.PHONY: lint
lint: ## Check style, formatting and module files.
	@scripts/lint

.PHONY: tidy
tidy: ## Bring go.mod and go.sum up to date.
	@for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy) || exit 1; done
	@go work sync

.PHONY: clean
clean: ## Remove what was built.
	@rm -rf bin build
