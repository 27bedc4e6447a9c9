# `make` lists the targets. Each one sets up what it needs in .venv first; nothing else on the machine changes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
STAMP := $(VENV)/.installed

.PHONY: help demo test fuzz faults lint format run bench lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(STAMP): $(BIN)/uv pyproject.toml requirements/dev.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## One key, three models: the whole request flow on this machine (ARGS="--keep" to leave it running)
	@$(BIN)/maas-api demo $(ARGS)

test: $(STAMP) ## Run every test, in parallel (ARGS="-k name" to choose)
	@$(BIN)/pytest -n auto --dist loadgroup $(ARGS)

fuzz: $(STAMP) ## Ten thousand generated requests against the running service (ARGS="--cases 50000")
	@$(BIN)/python -m tests.fuzz $(ARGS)

faults: $(STAMP) ## Stop, cut, fill and skew what the service stands on, under load, and print what came of it
	@$(BIN)/python -m tests.faults $(ARGS)

lint: $(STAMP) ## Style, types and the layer contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite the code in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

run: $(STAMP) ## Serve on http://localhost:8080 with the example manifests (ARGS="--help" for the options)
	@$(BIN)/maas-api serve --manifests examples/manifests --tokens-file examples/tokens.yaml --default-subscription default --kubernetes off $(ARGS)

bench: $(STAMP) ## Ratios, measured side by side in one run
	@$(BIN)/python -m bench $(ARGS)

lock: $(BIN)/uv ## Renew the lock files from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 pyproject.toml -o requirements/runtime.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --all-extras --group dev -c requirements/runtime.lock pyproject.toml -o requirements/dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --group build -o requirements/build.lock

clean: ## Remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .import_linter_cache
