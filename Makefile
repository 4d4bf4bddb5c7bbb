# Every target does its own set-up; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
TESTS ?= tests
WORKERS ?= 2
PYTEST_ARGS ?=
FILE ?= .build/vectors.json

# ape looks for vyper and anvil on the path; the other commands need no help.
export PATH := $(CURDIR)/$(VENV)/bin:$(CURDIR)/node_modules/@foundry-rs/anvil-linux-amd64/bin:$(PATH)

# Options of the commands below, handed on only when set: make demo POLICY=band_profit. BACKEND=revm|anvil|ape chooses
# the chain of every command that plays on one; it reaches them through the environment.
options = $(foreach name,$(1),$(if $($(name)),--$(call lower,$(name)) $($(name))))
lower = $(shell echo $(1) | tr 'A-Z_' 'a-z-')
BACKEND ?=
export BACKEND

.PHONY: help demo test fuzz shrink mutants branches vectors conformance attack \
  attacks frontier bench devnet lint format sizes gas lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## */\t/' | expand -t 13

demo: $(VENV)/stamp node_modules/stamp  ## the waterfall told step by step on a local chain (POLICY, BACKEND, SCENARIO, JSON)
	@$(RUN) -m scripts.demo $(call options,POLICY SCENARIO JSON)

test: $(VENV)/stamp node_modules/stamp  ## unit and differential tests (TESTS=path, WORKERS=n, BACKEND, PYTEST_ARGS=…)
	@$(RUN) -m pytest -n $(WORKERS) -q $(PYTEST_ARGS) $(TESTS)

fuzz: $(VENV)/stamp node_modules/stamp  ## a campaign, to be gone on with after a stop (STEPS, SEED, SEEDS, BACKEND, JOBS, CLUSTER, COVERAGE=1, JSON)
	@$(RUN) -m scripts.campaign $(call options,STEPS SEED SEEDS JOBS CLUSTER JSON NAME REGIME) \
	  $(if $(COVERAGE),--require-coverage)

shrink: $(VENV)/stamp  ## make a failing trace of a campaign small, as a scenario file (TRACE, OUT, BUDGET)
	@$(RUN) -m scripts.campaign.shrink $(TRACE) $(call options,OUT BUDGET)

mutants: $(VENV)/stamp  ## how many faults put into the Vyper sources the tests find (TARGET, SAMPLE, SEED, BUDGET, JOBS, OUT)
	@$(RUN) -m scripts.mutants $(call options,TARGET SAMPLE SEED BUDGET JOBS OUT)

branches: $(VENV)/stamp  ## which branches of the compiled contracts are taken (STEPS, SEED, SEEDS, JSON)
	@$(RUN) -m scripts.branches $(call options,STEPS SEED SEEDS JSON)

vectors: $(VENV)/stamp node_modules/stamp  ## conformance vectors of the model, for any implementation (OUT, SEED)
	@$(RUN) -m scripts.vectors write $(call options,OUT SEED COUNT)

conformance: $(VENV)/stamp node_modules/stamp  ## play vectors against contracts behind a node (FILE, RPC, ADDRESSES)
	@$(RUN) -m scripts.vectors run $(FILE) $(call options,RPC ADDRESSES ONLY SAVE) $(if $(ADDRESSES),,--deploy)

attack: $(VENV)/stamp node_modules/stamp  ## one attack on the oracle, three ways, beside the control (NAME=a02 or a file)
	@$(RUN) -m scripts.attacks $(NAME) --events

# on a node where there is one: only receipts tell the gas of a poke
attacks: $(VENV)/stamp node_modules/stamp  ## every attack three ways, and the page about them (WORKERS=n, BACKEND)
	@code=0; export BACKEND=$${BACKEND:-$$(command -v anvil > /dev/null && echo anvil || echo revm)}; \
	  $(RUN) -m scripts.attacks --jobs $(WORKERS) || code=$$?; $(RUN) -m scripts.attacks.report; exit $$code

frontier: $(VENV)/stamp  ## what other parameters of the oracle would cost (ATTACKS=a02,a41, POINTS, SEED, BUDGET, JUMP=500,1500 …)
	@$(RUN) -m scripts.attacks.sweep $(call options,ATTACKS POINTS SEED SEEDS BUDGET JOBS NAME JUMP TAU_FAST SPEED GRACE FREEZE)

bench: $(VENV)/stamp node_modules/stamp  ## compared calls a second of every backend, against plain ape (STEPS, SEED, JSON)
	@$(RUN) -m scripts.bench $(call options,STEPS SEED JSON)

devnet: $(VENV)/stamp node_modules/stamp  ## a running node with everything deployed (PORT, POLICY)
	@$(RUN) -m scripts.devnet $(call options,PORT POLICY)

lint: $(VENV)/stamp  ## ruff, and mypy on the model
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy --strict python_ref

format: $(VENV)/stamp  ## let ruff rewrite the Python files
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

sizes: $(VENV)/stamp  ## bytes of every contract; warns above 21,000, fails above 23,000
	@$(RUN) -m scripts.sizes

gas: $(VENV)/stamp node_modules/stamp  ## gas of every entry point (JSON)
	@$(RUN) -m scripts.gas $(call options,JSON)

lock: $(VENV)/stamp  ## make requirements.lock and package-lock.json anew
	@$(VENV)/bin/pip install --quiet pip-tools
	@$(VENV)/bin/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options -o requirements.lock requirements.in
	@npm install --package-lock-only && sed -i '/"resolved":/d' package-lock.json

clean:  ## remove everything that the other targets made
	rm -rf $(VENV) node_modules .build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/stamp: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and "Python 3.11 or 3.12 is needed")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

node_modules/stamp: package-lock.json
	@if command -v npm > /dev/null; then npm ci --silent --no-audit --no-fund && touch $@; \
	elif [ "$${CI:-}" = true ]; then echo "anvil: npm not found" >&2; exit 1; \
	else echo "anvil: npm not found, using the in-process chain"; fi
