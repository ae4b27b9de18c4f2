# Targets do their own set-up. 'make help' lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOTOOLCHAIN ?= local

MODULES  := $(dir $(wildcard */go.mod))
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

.PHONY: demo
demo: build ## Start everything, carry out the vendors' own examples, stop. KEEP=1 stays up.
	@bin/mailwright demo $(if $(KEEP),--keep)

.PHONY: dev
dev: build ## Run everything on this machine until Ctrl-C; state in .mailwright.
	@bin/mailwright dev

.PHONY: test
test: ## Run every test, on real NATS, Postgres and processes.
	@scripts/test

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
