# Everything a developer types. Needs make and Python 3.11 or newer; the rest comes by itself.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH

# The interpreter that makes the environment: the first that is new enough; `make PYTHON=...` picks another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
ENVIRONMENT := .venv/installed

# Three at a time on two cores, for some wait; a file's tests stay together where they share a shop, and begin in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadscope --no-loadscope-reorder

export PORT FILE

help:  ## what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(ENVIRONMENT)  ## the shop on http://127.0.0.1:8080 (PORT=n changes it); Ctrl-C stops everything
	@exec $(BIN)/python -m local

demo: $(ENVIRONMENT)  ## one purchase against the running shop, step by step, from a search to the mail
	@exec $(BIN)/python -m local.demo

import: $(ENVIRONMENT)  ## a catalogue into the running shop: make import FILE=products.jsonl (or .csv, also .gz; ON_HAND=n)
	@test -n "$(FILE)" || { echo "make import FILE=products.jsonl"; exit 2; }
	@exec $(BIN)/python -m functions.inventory.cli import "$(FILE)" --default-on-hand $(or $(ON_HAND),100)

export: $(ENVIRONMENT)  ## the running shop's catalogue as CSV that comes back unchanged: make export FILE=catalogue.csv (or .csv.gz)
	@test -n "$(FILE)" || { echo "make export FILE=catalogue.csv"; exit 2; }
	@exec $(BIN)/python -m functions.inventory.cli export "$(FILE)"

rebuild-search: $(ENVIRONMENT)  ## what search reads, made anew in the running shop (ARGS=--anew from the first product)
	@exec $(BIN)/python -m functions.search.cli rebuild $(ARGS)

quick: $(ENVIRONMENT)  ## the quick ones of them, under a minute (ARGS="-k word" narrows)
	$(PYTEST) -n 2 -q -m "not slow" $(ARGS)

test: $(ENVIRONMENT)  ## every test with small numbers, about eight minutes on two cores
	$(PYTEST) $(ARGS)

prove: $(ENVIRONMENT)  ## the same tests with large numbers (40 minutes), before an issue is called resolved
	PROVE=1 $(PYTEST) --timeout=1800 $(ARGS)

chaos: $(ENVIRONMENT)  ## N random histories from SEED against a cloud of their own, then the auditor: make chaos SEED=1 N=25
	@exec $(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --histories $(or $(N),25) $(ARGS)

breaking: $(ENVIRONMENT)  ## breaks rules on purpose, one at a time in a copy, and says which test notices (ARGS="lock outbox")
	@exec $(BIN)/python -m tools.breaking $(ARGS)

check: check-code check-layers check-schema check-openapi check-terraform  ## ruff, mypy, layers, drift, Terraform: no tests

bench: $(ENVIRONMENT)  ## the figures of docs/architecture.md as ratios to their floors
	@exec $(BIN)/python -m benchmarks

bench-relevance: $(ENVIRONMENT)  ## how good the first ten are by people's judgements, and what becomes of misspelt words
	@exec $(BIN)/python -m benchmarks.relevance $(ARGS)

bench-search: $(ENVIRONMENT)  ## how long every kind of search takes, beside trigrams, a full scan and a search engine (N=50000, ARGS=--help)
	@exec $(BIN)/python -m benchmarks.searching $(if $(N),--products $(N)) $(ARGS)

bundle: $(ENVIRONMENT)  ## build/<deployment>.zip, what a deployment uploads: the same bytes every time
	@exec $(BIN)/python -m tools.bundle

schema: $(ENVIRONMENT)  ## writes docs/schema.sql from the migrations
	@exec $(BIN)/python -m tools.schema --write

openapi: $(ENVIRONMENT)  ## writes docs/openapi.json from the functions' routes
	@mkdir -p build
	@$(BIN)/python -m tools.openapi > build/openapi.json
	@mv build/openapi.json docs/openapi.json

lock: $(ENVIRONMENT)  ## locks all requirements anew, with hashes (UPGRADE=1 takes newer versions)
	@exec $(BIN)/python -m tools.lock $(if $(UPGRADE),--upgrade)

clean:  ## removes the shop's data and all that was built; the environment stays
	@for pid in $$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' .local/*/instance.json 2>/dev/null); do \
		if kill -0 $$pid 2>/dev/null; then echo "The shop runs (pid $$pid): stop it first."; exit 1; fi; done
	rm -rf .local build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

check-code: $(ENVIRONMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

check-layers: $(ENVIRONMENT)
	$(BIN)/lint-imports --no-cache --no-logo

check-schema: $(ENVIRONMENT)
	$(BIN)/python -m tools.schema

check-openapi: $(ENVIRONMENT)
	@$(BIN)/python -m tools.openapi | diff -u docs/openapi.json - || \
		{ echo "The routes and docs/openapi.json differ: make openapi writes it anew; read its diff."; exit 1; }

check-terraform: $(ENVIRONMENT)
	$(BIN)/python -m tools.terraform

# A hash of the lock, written last: an interrupted installation is taken up again, a changed lock installed anew.
$(ENVIRONMENT): requirements/dev.txt tools/environment.py
	@test -n "$(PYTHON)" || { echo "Vitrine needs Python 3.11 or newer, and found none."; exit 1; }
	@$(PYTHON) tools/environment.py

.PHONY: help run demo import export rebuild-search quick test prove chaos breaking check bench bench-relevance bench-search bundle schema openapi lock clean \
	check-code check-layers check-schema check-openapi check-terraform
