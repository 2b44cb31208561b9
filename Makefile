# Everything that is needed is set up by the first target that needs it: Python >= 3.11, pip and make are enough.
# PYTHON=… chooses the interpreter, ARGS=… is handed to the command that the target runs.

PYTHON ?= $(shell for p in python3 python python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := spec checker proofs reports
ARGS ?=

.DEFAULT_GOAL := help
KERNEL ?= 6.18.15

.PHONY: help sabotage soak prove test check golden record test-guest lint bench replays clean

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 18

prove: $(READY) ## every theorem of the v10 patch, with its expected verdict
	$(BIN)/sealspec prove --no-cache $(ARGS)

test: lint ## ruff, mypy and the test suite
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q $(ARGS)

check: lint ## ruff, mypy and the fast tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup -q -m 'not slow' $(ARGS)

golden: $(READY) ## the verdicts of all editions, decided anew, against tests/golden
	$(BIN)/python -m proofs.golden $(ARGS)

record: $(READY) ## proofs/cases.jsonl anew: the cases that the proofs would else search for
	$(BIN)/python -m proofs.record $(ARGS)

test-guest: $(READY) ## the tests that ask a kernel, in QEMU: another kernel (KERNEL), processor, user, limit
	$(BIN)/python -m tests.guest $(KERNEL) $(ARGS)

sabotage: $(READY) ## every error of the catalogue, made in a copy of the source, against the guard that must see it
	$(BIN)/python -m proofs.sabotage $(ARGS)

SECONDS ?= 60
soak: $(READY) ## random transitions of all editions against everything that is proved; SECONDS=60
	$(BIN)/python -m proofs.soak --seconds $(SECONDS) $(ARGS)

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/mypy $(PACKAGES:%=-p %)

bench: $(READY) ## the time of a whole run, as a ratio to the time of importing z3
	$(BIN)/python -m reports.cli_bench $(ARGS)

RECORDED ?= 6.12.117 7.3.4
replays: $(READY) ## record what this kernel and RECORDED (versions, images) do with each counterexample of a report
	mkdir -p build
	$(BIN)/sealspec replay --all --json build/replays-host.json
	$(BIN)/sealspec lab $(RECORDED) --no-conform --json build/replays-lab.json
	$(BIN)/python -m reports.recorded build/replays-host.json build/replays-lab.json

clean: ## remove what make made
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Some systems ship Python without ensurepip: then the pip beside PYTHON installs into the environment from outside.
$(READY): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "make: no Python >= 3.11 was found; install one, or say which: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "make: $(PYTHON) is not Python 3.11 or later; say which is: make PYTHON=/path/to/python" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) has no module venv; install it (Debian: apt install python3-venv)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || "$(PYTHON)" -m pip --version >/dev/null 2>&1 || \
		{ echo "make: $(PYTHON) has neither ensurepip nor pip; install one (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON)"
	@rm -rf $(VENV)
	@if "$(PYTHON)" -c 'import ensurepip' 2>/dev/null; then \
		"$(PYTHON)" -m venv $(VENV) && $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'; \
	else \
		"$(PYTHON)" -m venv --without-pip $(VENV) && \
		"$(PYTHON)" -m pip --python $(BIN)/python install -q --disable-pip-version-check -c constraints.txt -e '.[test]'; \
	fi
	@touch $@
