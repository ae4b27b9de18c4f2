# Targets do their own set-up. 'make help' lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local

MODULES  := $(dir $(wildcard */go.mod pkg/*/go.mod services/*/go.mod examples/*/go.mod))
PROGRAMS := mailwright sandbox directory-svc mailbox-svc delegation-svc inventory-svc projection-svc console

.PHONY: help
help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build every program into bin/.
	@mkdir -p bin
	@cd services && CGO_ENABLED=0 go build -trimpath -ldflags=-s -o ../bin/ $(addprefix ./,$(PROGRAMS))

.PHONY: images
images: build ## Build the programs' images, mailwright/<program>:dev, and get those of NATS and Postgres. TAG=1.2.3 in place of dev: as users of that version look for them.
	@scripts/servers
	@scripts/images $(or $(TAG),dev) $(PROGRAMS)

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
conformance: ## Hold every documented fact of the vendors against clients and sandbox; the table is in build/conformance.json too. FULL=1: walk a million mailboxes.
	@FULL=$(FULL) scripts/conformance

.PHONY: failpoints
failpoints: ## Build the programs with failpoints, which released ones do not have, into build/failpoints.
	@mkdir -p build/failpoints
	@cd services && CGO_ENABLED=0 go build -trimpath -ldflags=-s -tags failpoints -o ../build/failpoints/ $(addprefix ./,$(PROGRAMS) guarantees)

.PHONY: guarantees
guarantees: failpoints ## Attack each guarantee and prove that it was kept. The table is in build/guarantees.json too. LONG=1: 100,000 commands, 500 kills. PROVE=1: the checkers. SEED=n repeats a run's faults. BACKLOG=n: work off a backlog.
	@build/failpoints/guarantees $(if $(LONG),--long) $(if $(PROVE),--prove) $(if $(SEED),--seed $(SEED)) $(if $(BACKLOG),--backlog $(BACKLOG))

.PHONY: security
security: ## Check permissions, the search for secrets, the double build, SBOMs, licences, base images, vulnerabilities and the threat table, and prove each check by breaking what it protects; the table is in build/security.json too. QUICK=1: without the double build and the images, which take minutes.
	@QUICK=$(QUICK) scripts/security

.PHONY: verify-projections
verify-projections: failpoints ## Hold the rows that the last 'make guarantees' left against a replay; then alter one by hand, and see it found, named and put right.
	@build/failpoints/guarantees --verify-projections

.PHONY: bench
bench: ## Measure commands, projections, rebuild, inventories and commands end to end, each against a hand-written floor of the same run; results in build/bench.json. BENCH_FULL=1: a million of each, 20,000 commands in each end-to-end run; takes hours.
	@mkdir -p build && rm -f build/bench.json
	@missed=; $(call bench,services,Pipeline,./internal/operation) || missed=1; $(call bench,services,Projection,./projection-svc) || missed=1; \
	  $(call bench,services,Inventory,./bench) || missed=1; $(call bench,services,EndToEnd,./bench) || missed=1; $(call bench,services,Console,./bench) || missed=1; [ -z "$$missed" ]

# Results gather in one file. The heap is collected as the programs set it for themselves (services/internal/process).
bench = (cd $(1) && set -o pipefail && CGO_ENABLED=0 GOGC=400 BENCH_JSON=$(CURDIR)/build/bench.json go test -tags failpoints -run '^$$' -bench $(2) -benchtime 1x -timeout $(if $(BENCH_FULL),8h,40m) $(3) | grep -E '^(bench:|ok|FAIL|---)|_test.go')

.PHONY: bench-views
bench-views: ## Measure every documented query over 10 million events and a million mailboxes; times in build/bench-views.json, plans in build/plans. 15 GB of disk. SMALL=1: a tenth.
	@mkdir -p build && rm -rf build/bench-views.json build/plans
	@cd services && set -o pipefail && CGO_ENABLED=0 BENCH_FULL=$(if $(SMALL),,1) BENCH_PLANS=$(CURDIR)/build/plans BENCH_JSON=$(CURDIR)/build/bench-views.json \
	  go test -run '^$$' -bench '^BenchmarkViews$$' -benchtime 1x -timeout 60m ./projection-svc | grep -E '^(bench:|ok|FAIL|---)|_test.go'

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
