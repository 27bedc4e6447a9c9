# `make` lists the targets. Each one sets up what it needs in .venv first; nothing else on the machine changes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
STAMP := $(VENV)/.installed

.PHONY: help demo test clients fuzz faults matrix secrecy tokens lint format run bench pictures lock clean generators otelcol

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(RUNS): requirements/install.py requirements/build.lock requirements/demo.lock pyproject.toml
	@$(PYTHON) requirements/install.py demo
	@touch $@

$(STAMP): requirements/install.py requirements/build.lock requirements/dev.lock pyproject.toml
	@$(PYTHON) requirements/install.py dev
	@touch $(RUNS) $@

demo: $(RUNS) ## One key, three models: the whole request flow on this machine (ARGS="--keep" to leave it running)
	@$(BIN)/maas-api demo $(ARGS)

test: $(STAMP) ## Run every test, in parallel (ARGS="-k name" to choose)
	@$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

clients: $(STAMP) ## Real client programs against the demo, written to docs/clients.md (ARGS="--help"; installs them)
	@$(BIN)/python -m tests.clients $(ARGS)

fuzz: $(STAMP) ## Ten thousand generated requests against the running service (ARGS="--cases 50000")
	@$(BIN)/python -m tests.fuzz $(ARGS)

faults: $(STAMP) ## Stop, cut, fill and skew what the service stands on, under load, and print what came of it
	@$(BIN)/python -m tests.faults $(ARGS)

matrix: $(STAMP) ## Every way to a model, tried by every kind of caller through a real Envoy, as a table
	@$(BIN)/python -m tests.matrix

secrecy: $(STAMP) ## A key in every place of every route's request: who received it, which log shows it (ARGS="--help")
	@$(BIN)/python -m tests.secrecy $(ARGS)

tokens: $(STAMP) ## Users' tokens of every kind, right, wrong and hostile, with the answer to each, as a table
	@$(BIN)/python -m tests.tokens

GENERATORS := .tools/generators

generators: $(GENERATORS)/.installed ## Node and what generates a TypeScript client, for the tests that want them

$(GENERATORS)/.installed: tests/generators/package.json tests/generators/package-lock.json requirements/node.lock $(STAMP)
	@$(PYTHON) requirements/install.py node
	@mkdir -p $(GENERATORS) && cp tests/generators/package*.json $(GENERATORS)
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix $(GENERATORS) ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

otelcol: .tools/otelcol ## Build an OpenTelemetry collector for the tests that want a real one (needs Go)

.tools/otelcol: tests/otelcol/main.go tests/otelcol/go.mod
	@mkdir -p .tools/otelcol-src && cp $^ .tools/otelcol-src
	@cd .tools/otelcol-src && go mod tidy && go build -trimpath -ldflags "-s -w" -o ../otelcol .

lint: $(STAMP) ## Style, types and the layer contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite the code in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

run: $(RUNS) ## The service alone, on http://127.0.0.1:8080, with the example manifests (ARGS="--help" for the options)
	@$(BIN)/maas-api serve --manifests examples/manifests --tokens-file examples/tokens.yaml --sign-in \
	  --admin-groups maas-admins --default-subscription default --kubernetes off $(ARGS)

bench: $(STAMP) ## Ratios, measured side by side: over seven minutes, needs wrk (ARGS="--quick": whether it works)
	@$(BIN)/python -m bench $(ARGS)

pictures: $(STAMP) ## docs/performance.md and its charts, from the results that are kept (make bench ARGS=--publish)
	@$(BIN)/python -m bench.pictures

COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11

lock: $(RUNS) ## Renew the lock files from pyproject.toml
	$(COMPILE) --extra tracing pyproject.toml -o requirements/runtime.lock
	$(COMPILE) --extra demo -c requirements/runtime.lock pyproject.toml -o requirements/demo.lock
	$(COMPILE) --all-extras --group dev -c requirements/runtime.lock -c requirements/demo.lock pyproject.toml -o requirements/dev.lock
	$(COMPILE) --group build -o requirements/build.lock
	$(COMPILE) --group node -o requirements/node.lock

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
