# `make demo` and `make test` are the two commands a newcomer needs. Neither needs root; everything is
# installed inside this folder (.venv and others named after it, tests/integration/node/node_modules; build/debian,
# which apt-get fetches).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

PYTHON ?= python3
PYTEST_ARGS ?=
COVERAGE_FLOOR ?= 97
FUZZ_SECONDS ?= 600
TARGET ?=
REQUIREMENTS ?=
# What `make test` takes of the soak: with this seed the store fails first, in every way.
MINUTES ?= 1
SEED ?= 421
STORE ?= redis directory

VENV := .venv
VENV_LOWEST := .venv-lowest
# Providers in Python that are run here and never imported: what they need stays away from what we need.
VENV_PROVIDERS := .venv-providers
# Servers for programs to talk to, and programs in Python.
VENV_PROGRAMS := .venv-programs
NODE := tests/integration/node
CANAILLE := tests/integration/canaille_project
PROGRAMS := tests/integration/programs_project
# So does what applications need that are served behind the middleware.
VENV_APPS := .venv-apps
# And what the benchmark compares with.
VENV_BENCH := .venv-bench
VENV_PGADMIN := .venv-pgadmin
VENV_SUPERSET := .venv-superset
APPS := tests/integration/applications
# WSGI servers, which import the package and are run as the documentation says.
VENV_SERVERS := .venv-servers
SERVERS := tests/integration/servers
# pytest rewrites every assertion, which takes seconds: what it made is kept for the next run, whatever the shell says.
export PYTHONDONTWRITEBYTECODE =
# As many processes as the machine has processors; one that has nothing left to do takes tests over from another.
IN_PARALLEL := -n auto --maxprocesses 8 --dist worksteal
ONE_MORE = $$($(VENV)/bin/python -c 'import os; print((os.cpu_count() or 1) + 1)')
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check

.PHONY: help install lint check check-deep integration test-providers test-programs test-apps test-servers soak requirements test test-lowest test-pythons demo bench bench-guard fuzz mutation proofs docs clean

help:
	@echo "make demo        a provider, an app and one sign-in, step by step (ONCE=1: end after it)"
	@echo "make check       what to run after every change: ruff, mypy, import-linter, the documentation, every in-process"
	@echo "                 test with one or two of its values, but those marked deep; a minute and a half"
	@echo "make check-deep  the same with all values, properties at full budget, and coverage: a floor for the package, all"
	@echo "                 of the security core"
	@echo "make test        check-deep, bench-guard, then the tests against real servers and a browser, test-providers,"
	@echo "                 test-programs, test-apps, test-servers and soak; last the requirements of"
	@echo "                 tests/security/requirements.tsv that no test has proved"
	@echo "make test-providers sign-in, refresh and logout at providers that others wrote; docs/providers.rst says which"
	@echo "make test-programs calendars, WebDAV, hg, git, pip and curl at servers behind the middleware, with personal tokens"
	@echo "make test-apps   real applications as samples/ has them: what each knows of a person, and two people at one browser"
	@echo "make test-servers every server of docs/deployment.rst, configured as it says: what works, and nobody gets round"
	@echo "make soak        three hosts at work while one thing after another goes wrong, and who is let in or lost:"
	@echo "                 MINUTES=2 for each store, SEED=7, STORE=redis, several, or all"
	@echo "make test-lowest the in-process tests at the lowest versions that setup.py allows"
	@echo "make test-pythons the in-process tests under every Python from 3.11 to 3.14 that is found; where they passed is"
	@echo "                 written into tests/support/pythons.tsv"
	@echo "make bench       what a request, a login, a server and a start cost: against hand-written limits, against others"
	@echo "                 that do the same, and as an installation grows; SECTIONS=... for some of it"
	@echo "make bench-guard the calls and instructions of one request, counted: has a request become dearer?"
	@echo "make mutation    faults put into what has changed of the security core, one at a time: do its tests notice?"
	@echo "                 MODULES=... for some, MODULES=all for everything"
	@echo "make proofs      every check that a requirement names is switched off in turn: do the requirement's tests notice?"
	@echo "                 REQUIREMENTS=\"3a.1 X4\" for a few"
	@echo "make fuzz        every reader of bytes from outside under Atheris: FUZZ_SECONDS=600 each, TARGET=... for one"
	@echo "make docs        the documentation as HTML, warnings are errors"
	@echo "make clean       remove what these commands made"

# A stamp per environment: the file is as old as the last complete installation.
$(VENV)/.installed: setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is %s. Set PYTHON=..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/$(PIP_INSTALL) --editable '.[test]'
	@touch $@

# SQLAlchemy 1.4 does not know psycopg 3.
$(VENV_LOWEST)/.installed: setup.py pyproject.toml tests/support/lowest.py
	@test -x $(VENV_LOWEST)/bin/python || $(PYTHON) -m venv $(VENV_LOWEST)
	$(VENV_LOWEST)/bin/$(PIP_INSTALL) setuptools packaging
	$(VENV_LOWEST)/bin/python tests/support/lowest.py setup.py > $(VENV_LOWEST)/lowest.txt
	$(VENV_LOWEST)/bin/$(PIP_INSTALL) --constraint $(VENV_LOWEST)/lowest.txt --editable '.[test]' psycopg2-binary
	@touch $@

$(VENV_PROVIDERS)/.installed: $(CANAILLE)/requirements.txt
	@test -x $(VENV_PROVIDERS)/bin/python || $(PYTHON) -m venv $(VENV_PROVIDERS)
	$(VENV_PROVIDERS)/bin/$(PIP_INSTALL) --requirement $<
	@touch $@

$(VENV_APPS)/.installed: $(APPS)/requirements.txt setup.py
	@test -x $(VENV_APPS)/bin/python || $(PYTHON) -m venv $(VENV_APPS)
	$(VENV_APPS)/bin/$(PIP_INSTALL) --requirement $< --editable .
	@touch $@

$(VENV_SERVERS)/.installed: $(SERVERS)/requirements.txt setup.py
	@test -x $(VENV_SERVERS)/bin/python || $(PYTHON) -m venv $(VENV_SERVERS)
	$(VENV_SERVERS)/bin/$(PIP_INSTALL) --requirement $< --editable .
	@touch $@

# Two steps, as whoever has pgAdmin already takes them.
$(VENV_PGADMIN)/.installed: $(APPS)/pgadmin_requirements.txt setup.py
	@test -x $(VENV_PGADMIN)/bin/python || $(PYTHON) -m venv $(VENV_PGADMIN)
	$(VENV_PGADMIN)/bin/$(PIP_INSTALL) --requirement $<
	$(VENV_PGADMIN)/bin/$(PIP_INSTALL) --editable .
	@touch $@

# Superset asks for an older cryptography than we do, and works with ours.
$(VENV_SUPERSET)/.installed: $(APPS)/superset_requirements.txt setup.py
	@test -x $(VENV_SUPERSET)/bin/python || $(PYTHON) -m venv $(VENV_SUPERSET)
	$(VENV_SUPERSET)/bin/$(PIP_INSTALL) --requirement $<
	$(VENV_SUPERSET)/bin/$(PIP_INSTALL) --editable .
	@touch $@

$(VENV_PROGRAMS)/.installed: setup.py $(PROGRAMS)/requirements.txt
	@test -x $(VENV_PROGRAMS)/bin/python || $(PYTHON) -m venv $(VENV_PROGRAMS)
	$(VENV_PROGRAMS)/bin/$(PIP_INSTALL) --editable '.[sql]' --requirement $(PROGRAMS)/requirements.txt
	@touch $@

$(NODE)/node_modules/.installed: $(NODE)/package.json $(NODE)/package-lock.json $(NODE)/.npmrc
	cd $(NODE) && npm ci --silent
	@touch $@

install: $(VENV)/.installed

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# The databases of such tests lie in memory where the machine keeps a folder there: nobody cuts the power, and SQLite
# waits for the disk with every commit. Beside the tests go ruff, mypy and the documentation, which take a processor for
# half a minute where nothing is kept from the run before. Some tests wait for something: there is one process more than
# the machine has processors.
check: $(VENV)/.installed
	@mkdir -p build; $(MAKE) --no-print-directory lint docs > build/lint.txt 2>&1 & beside=$$!; failed=; \
	HYPOTHESIS_PROFILE=check PYTEST_DEBUG_TEMPROOT=$(wildcard /dev/shm) $(VENV)/bin/pytest -q -m "not deep" --ignore=tests/integration $(IN_PARALLEL) -n $(ONE_MORE) $(PYTEST_ARGS) || failed=yes; \
	wait $$beside || failed=yes; cat build/lint.txt; test -z "$$failed"

check-deep: lint docs
	$(VENV)/bin/pytest -q -m "not integration" $(IN_PARALLEL) --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(PYTEST_ARGS)
	@$(VENV)/bin/python -m tests.security.core

integration: $(VENV)/.installed $(NODE)/node_modules/.installed
	$(VENV)/bin/pytest -q -m integration --ignore=tests/integration/providers --ignore=tests/integration/programs --ignore=$(APPS) --ignore=$(SERVERS) $(PYTEST_ARGS)

test-providers: $(VENV)/.installed $(VENV_PROVIDERS)/.installed $(NODE)/node_modules/.installed
	$(VENV)/bin/pytest -q tests/integration/providers $(PYTEST_ARGS)

test-programs: $(VENV)/.installed $(VENV_PROGRAMS)/.installed
	$(VENV)/bin/pytest -q tests/integration/programs $(PYTEST_ARGS)

test-apps: $(VENV)/.installed $(VENV_APPS)/.installed $(VENV_PGADMIN)/.installed $(VENV_PROGRAMS)/.installed $(VENV_SUPERSET)/.installed $(NODE)/node_modules/.installed
	PYTEST_DEBUG_TEMPROOT=$(wildcard /dev/shm) $(VENV)/bin/pytest -q $(APPS) $(PYTEST_ARGS)

test-servers: $(VENV)/.installed $(VENV_SERVERS)/.installed
	$(VENV)/bin/pytest -q $(SERVERS) $(PYTEST_ARGS)

soak: $(VENV)/.installed $(NODE)/node_modules/.installed
	$(VENV)/bin/python -m tests.soak --minutes $(MINUTES) --seed $(SEED) --store $(STORE)

# After all kinds of tests: what counts is what passed in them.
requirements: $(VENV)/.installed
	@$(VENV)/bin/python -m tests.security.requirements

test:
	@for target in check-deep bench-guard integration test-providers test-programs test-apps test-servers soak requirements; do \
	    SECONDS=0; $(MAKE) --no-print-directory $$target; echo "make $$target: $$SECONDS seconds"; \
	done

test-lowest: $(VENV_LOWEST)/.installed
	$(VENV_LOWEST)/bin/pytest -q -m "not integration" $(IN_PARALLEL) $(PYTEST_ARGS)

# It makes an environment for each.
test-pythons:
	@$(PYTHON) -m tests.support.pythons $(IN_PARALLEL) $(PYTEST_ARGS)

demo: $(VENV)/.installed
	$(VENV)/bin/python samples/demo/demo.py $(if $(filter-out 0,$(ONCE)),--once)

$(VENV_BENCH)/.installed: benchmarks/requirements.txt setup.py
	@test -x $(VENV_BENCH)/bin/python || $(PYTHON) -m venv $(VENV_BENCH)
	$(VENV_BENCH)/bin/$(PIP_INSTALL) --requirement $< --editable .
	@touch $@

bench: $(VENV_BENCH)/.installed
	$(VENV_BENCH)/bin/python -m benchmarks $(SECTIONS)

bench-guard: $(VENV)/.installed
	$(VENV)/bin/python -m benchmarks.guard

mutation: $(VENV)/.installed
	@test -x $(VENV)/bin/cosmic-ray || $(VENV)/bin/$(PIP_INSTALL) --editable '.[test,mutation]'
	nice -n 19 $(VENV)/bin/python -m tests.mutation.run $(if $(MODULES),$(filter-out all,$(MODULES)),--stale)

proofs: $(VENV)/.installed
	nice -n 19 $(VENV)/bin/python -m tests.security.proofs $(REQUIREMENTS)

fuzz: $(VENV)/.installed
	@$(VENV)/bin/python -c 'import atheris' 2>/dev/null || $(VENV)/bin/$(PIP_INSTALL) --editable '.[fuzz]'
	$(VENV)/bin/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) $(TARGET)

docs: $(VENV)/.installed
	$(VENV)/bin/sphinx-build -W -q docs build/docs

clean:
	rm -rf $(VENV) $(VENV)-* $(NODE)/node_modules build dist ./*.egg-info samples/demo/var
	rm -rf .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
