# Two commands: `make bench FRAMEWORK=pytorch` and `make test`. Both set themselves up. `make help` lists the rest.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python3.10,$(shell \
	command -v $(name) >/dev/null && $(name) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $(name))))
VENV := .venv
RUN := $(VENV)/bin/

# The settings of a run; each becomes an option of `rosetta bench`.
OPTIONS = $(CONFIG) \
	$(foreach name,$(FRAMEWORK),--framework $(name)) \
	$(foreach name,$(WORKLOAD),--workload $(name)) \
	$(if $(DEVICE),--device $(DEVICE)) \
	$(if $(ENGINE),--engine $(ENGINE)) \
	$(if $(DATASET),--dataset $(DATASET)) \
	$(if $(REPEATS),--repeats $(REPEATS)) \
	$(ARGS)

.DEFAULT_GOAL := help
.PHONY: help install bench test test-fast check-all lint benchmark peers lock clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo '  bench takes FRAMEWORK= WORKLOAD= DEVICE=cpu|gpu ENGINE=docker|process|ray CONFIG=FILE DATASET= REPEATS= ARGS='
	@echo '  for example: make bench FRAMEWORK=pytorch WORKLOAD="cnn rnn" DATASET=synthetic'

install: $(VENV)/installed ## make .venv with the orchestrator in it

# make says nothing about a misspelled setting, and would run everything instead.
SETTINGS = CONFIG FRAMEWORK WORKLOAD DEVICE ENGINE DATASET REPEATS ARGS PYTHON VENV RUN
UNKNOWN = $(strip $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(filter-out $(SETTINGS),$(name)))))

bench: install ## run a benchmark and print its tables
	@test -z '$(UNKNOWN)' || { echo 'error: make bench has no setting $(UNKNOWN)' >&2; \
	echo '  → it takes FRAMEWORK= WORKLOAD= DEVICE= ENGINE= CONFIG= DATASET= REPEATS= ARGS=' >&2; exit 2; }
	@$(RUN)rosetta bench $(OPTIONS)

test: $(VENV)/installed-dev lint ## run every test this machine can run, but for checks that have passed
	$(RUN)pytest $(ARGS)

test-fast: $(VENV)/installed-dev ## run the unit tests only (no Docker, browser or cluster)
	ROSETTA_CHECKS=none $(RUN)pytest -m "not slow and not docker and not browser and not ray" $(ARGS)

check-all: $(VENV)/installed-dev lint ## run every check, passed before or not, and write ci/ledger.json
	ROSETTA_CHECKS=all ROSETTA_CUDA_IMAGES=all $(RUN)pytest --write-ledger $(ARGS)

lint: $(VENV)/installed-dev ## check style, types, spelling, the order of imports
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports
	$(RUN)codespell
	$(RUN)vermin --quiet --no-tips --target=3.6- --violations workloads tests/benchmarks/peers/*/

benchmark: $(VENV)/installed-dev ## measure the orchestrator itself
	$(RUN)python -m tests.benchmarks

peers: $(VENV)/installed-dev ## measure every row against its framework's own best known way
	@$(RUN)python -m tests.benchmarks.peers \
	$(foreach name,$(FRAMEWORK),--framework $(name)) $(foreach name,$(WORKLOAD),--workload $(name)) $(ARGS)

lock: ## write every lock file again
	ci/lock.sh

clean: ## remove .venv (runs under results/ stay)
	rm -rf $(VENV)

$(VENV)/installed: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'error: no Python 3.10 or newer on PATH'; echo '  → install one, or: make PYTHON=/path/to/python3'; exit 4; }
	@echo 'setting up $(VENV) with $(PYTHON) (once)'
	@$(PYTHON) -m venv $(VENV)
	@$(RUN)python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
	@$(RUN)python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@$(RUN)python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@
