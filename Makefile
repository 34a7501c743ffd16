# make        set up what is needed and run the main job
# make test   set up what is needed and run every check
#
# Needs Python 3.11 or newer and make; another interpreter: make PYTHON=/path/to/python3.12
# Paths are relative, so the folder's own name may hold spaces.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$name"; break; fi; done)
WORKERS ?= 2

MODEL := deepseek-v3
PODS := hgx-h100,gb200-nvl72,cloudmatrix384,atlas950-8192
CARDS := 384

.DEFAULT_GOAL := run
.PHONY: run test check docs lock clean

run: $(VENV)/.run
	@$(BIN)/superpod compare $(MODEL) --pods $(PODS) --phase serve --at equal-cards --cards $(CARDS)

test: $(VENV)/.dev
	@$(MAKE) --no-print-directory check

check:
	$(BIN)/python -m ruff check --quiet .
	$(BIN)/python -m ruff format --check --quiet .
	$(BIN)/python -m mypy --strict src
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m pytest -q -n $(WORKERS)

docs: $(VENV)/.dev
	$(BIN)/python docs/generate.py

# Only whoever changes a dependency needs uv.
lock:
	uv pip compile --quiet --universal --no-header --no-annotate pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "superpod needs Python 3.11 or newer, and none was found on PATH." >&2; \
	  echo "hint: install it, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; fi
	@echo "setting up $(VENV) (once)" >&2
	@"$(PYTHON)" -m venv --clear $(VENV) || { \
	  echo "hint: on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.made requirements.lock pyproject.toml
	@$(PIP) install -r requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	@$(PIP) install -r requirements-dev.lock
	@touch $@
