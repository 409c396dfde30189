# Orrery: set up, boot, test.  Needs python3 (3.11 or newer, with venv), make and the package index.
#
# What runs the machine depends on one stamp in .venv, what tests and checks it on another, so that who only
# boots fetches only what that takes.  They are renewed when the pinned packages change, so a second run costs
# nothing.  Pass arguments on with ARGS, as in `make boot ARGS="--drive fs.img"` or `make test ARGS="-k pipe"`.

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/installed.stamp
DEV_STAMP := .venv/developer.stamp
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-warn-script-location

.PHONY: help boot dev test quick lint bench clean

help:
	@echo 'make boot     boot to the shell; Ctrl-A X ends it'
	@echo 'make test     run the tests (make test ARGS=--long runs the long ones too)'
	@echo 'make quick    run those that take no time: for every edit, in less than a minute'
	@echo 'make lint     ruff, mypy, and the direction of imports'
	@echo 'make bench    measure, beside QEMU where it is there (ARGS="--xv6 DIR")'
	@echo 'make dev      fetch what developers need, and a gdb, into .venv; the four above do it, too'
	@echo 'make clean    remove .venv and what tools left behind'

boot: $(STAMP)
	@exec $(BIN)/orrery boot $(ARGS)

dev: $(DEV_STAMP)

test: $(DEV_STAMP)
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

quick: $(DEV_STAMP)
	@$(BIN)/python -m pytest -q -n $(JOBS) --quick $(ARGS)

lint: $(DEV_STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/unit/test_imports.py

bench: $(DEV_STAMP)
	@$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml orrery/pytest_words.py
	@command -v $(PYTHON) >/dev/null || { echo 'orrery: python3 is missing: install Python 3.11 or newer' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "orrery: $$($(PYTHON) --version) is too old: install Python 3.11 or newer," \
	       'or name one with PYTHON=, as in make boot PYTHON=python3.12' >&2; exit 2; }
	@echo 'orrery: setting up .venv, once: fetching 130 MB, of which the compiler has 101; takes 530 MB of disk'
	@$(PYTHON) -m venv .venv || { \
	  echo 'orrery: python3 could not make .venv: install its venv module (python3-venv on Debian)' >&2; exit 2; }
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) -q --no-deps --no-build-isolation -e .
	@$(BIN)/python -m orrery.pytest_words
	@touch $@
	@echo 'orrery: .venv is ready'

$(DEV_STAMP): $(STAMP) requirements-dev.lock
	@echo 'orrery: fetching what developers need, once: 50 MB; takes another 170 MB of disk'
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
