# `make help` lists the targets. Each sets up .venv by itself, once; it is done again when pyproject.toml or
# constraints.txt changes. PYTHON=... chooses the interpreter, ARGS="..." goes on to the backtest or to pytest,
# WORKERS=... is the number of processes that test.

PYTHON ?= $(shell for v in 3.11 3.12 3.13; do command -v python$$v && exit; done; echo python3)
ARGS ?=
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.ready

.DELETE_ON_ERROR:
.PHONY: help setup backtest test slow check format docs clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY)  ## make .venv with s2squant in it; every target below does so by itself

backtest: $(READY)  ## run the backtest under Prefect and write its report; "Error 3" means some tickers have no result
	$(BIN)/python flows/backtest.py $(ARGS)

test: $(READY)  ## the fast tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal $(ARGS)

check: $(READY)  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## put the source in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## the pages of docs/ as a site that needs no network, in build/docs
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "docs: build/docs/quickstart.html"

clean:  ## remove .venv and every cache; reports and data stay
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find s2squant flows tests benchmarks data -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "s2squant needs Python 3.11 to 3.13; $(PYTHON) is not. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "setting up .venv: once, a few minutes; torch and the other packages are fetched from the package index"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
