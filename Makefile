# Needs Python 3.11 or later with venv, and gcc (or clang). Everything is installed into .venv; TensorFlow is not.

VENV := .venv
BIN := $(VENV)/bin
FLAGS ?=
EXTRAS ?= dev
SECONDS ?= 60
SEED ?= 0
find-python = for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done
PYTHON ?= $(shell $(find-python))

.PHONY: help demo examples test quick lint fuzz bench docs clean setup-emulators
.DELETE_ON_ERROR:

help:
	@echo "make demo    build the example model for an ESP32, run its C here and in an emulator, compare with the reference"
	@echo "make example-NAME   an example on its emulated board: anomaly, camera, gesture, keywords; make examples: all"
	@echo "make test    ruff, pyright, every test (FLAGS=... goes to pytest; EXTRAS=dev,train tests with TensorFlow too)"
	@echo "make quick   the tests that are not slow, for the inner loop"
	@echo "make lint    ruff and pyright alone"
	@echo "make fuzz    mutated model files for SECONDS=60 (SEED=0): each is refused with a reason or built soundly"
	@echo "make setup-emulators   compilers, QEMU and PlatformIO's build tool for the emulated boards"
	@echo "make bench   build time, start-up time, growth with model size, speed of the emitted code"
	@echo "make docs    the documentation as a site, in site/"
	@echo "make clean   remove $(VENV), build/ and caches"

demo: $(VENV)/.installed compiler
	@$(BIN)/python examples/demo.py

EXAMPLES := anomaly camera gesture keywords

examples: $(EXAMPLES:%=example-%)

example-%: $(VENV)/.installed
	@$(BIN)/python -m examples.run $* $(FLAGS)

test: lint compiler
	$(BIN)/pytest -n auto $(FLAGS)

quick: $(VENV)/.installed-dev compiler
	$(BIN)/pytest -n auto -q -m "not slow" $(FLAGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

fuzz: $(VENV)/.installed-dev compiler
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(FLAGS)

setup-emulators: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet -e '.[emulate]'
	$(BIN)/tinycomp setup-emulators

bench: $(VENV)/.installed compiler
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/speed.py
	@test ! -f build/speed.json || $(BIN)/python benchmarks/speed_page.py build/speed.json > docs/reference/speed.md

docs: $(VENV)/.installed-dev
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are older than pyproject.toml when dependencies may have changed.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[emulate]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e '.[$(EXTRAS)]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is missing: apt-get install python3.11 python3.11-venv" \
		"(or make PYTHON=/path/to/python3)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module:" \
		"apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

.PHONY: compiler
compiler:
	@command -v gcc >/dev/null || command -v clang >/dev/null || command -v cc >/dev/null || { echo \
		"a C compiler is missing: apt-get install gcc libc6-dev" >&2; exit 1; }
