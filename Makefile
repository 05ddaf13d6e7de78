# make demo   install what the example needs into .venv and run it
# make test   lint, types, layers and tests
# make docs   the documentation, warnings are errors
# make bench  the benchmarks
#
# PYTHON    the interpreter that .venv is made from (3.11 or newer)
# PIP_ARGS  passed to pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu" for the CPU build of torch
# ARGS      passed to the example (make demo) or to pytest (make test)

PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
ARGS ?=

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -c constraints.txt
INPUTS := pyproject.toml setup.cfg constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench clean

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "geomlearn needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo not there)."; \
		echo "Name another interpreter: make $(MAKECMDGOALS) PYTHON=python3.12"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo-installed: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[robotics,plot]'
	@touch $@

$(VENV)/.dev-installed: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) -e '.[robotics,plot,docs,bench,dev]'
	@touch $@

demo: $(VENV)/.demo-installed
	$(BIN)/python examples/main_job.py $(ARGS)

lint: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n auto $(ARGS)

docs: $(VENV)/.dev-installed
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

$(VENV)/.bench-installed: $(INPUTS) $(VENV)/.dev-installed
	$(PIP_INSTALL) -e '.[bench,bench-lie,bench-integrators,bench-optimizers]'
	@touch $@

bench: $(VENV)/.bench-installed
	@missed=0; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script" $(ARGS) || missed=1; done; \
		exit $$missed

clean:
	rm -rf docs/_build docs/auto_examples docs/gen_modules build dist *.egg-info
