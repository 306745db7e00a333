# One command each: chat, demo, test. Every target sets up what it needs in .venv.
.DEFAULT_GOAL := help
SHELL  := /bin/sh
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN    := .venv/bin
JOBS   ?= 4
SEED   ?= 1
ROUNDS ?= 100
MINUTES ?= 30
BENCH  ?=
TIME   ?= 60
FUZZ   ?=
BLOWS  ?= 30
CLUSTER ?=
LINES  := chatd chatsh harness scenarios tests scripts examples benchmarks server.py client.py

# The tests start our programs thousands of times; each module is compiled once.
unexport PYTHONDONTWRITEBYTECODE

help:            ## what can be made
	@sed -n 's/^\([a-z-]*\): *[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

.venv/run.stamp: pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed; say where it is: make PYTHON=/path/to/python3 ...' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

.venv/fuzz.stamp: .venv/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

chat: .venv/run.stamp   ## start a daemon on a free port and chat on it
	@$(BIN)/python -m scripts.chat

demo: .venv/run.stamp   ## watch real processes replay a conversation
	@$(BIN)/harness run --show scenarios/dialogue/three_clients.yaml

test: .venv/dev.stamp   ## run every test and every scenario
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term

prove: .venv/run.stamp   ## tell lies about every scenario; those that miss too many are named
	$(BIN)/harness prove --quiet -j $(JOBS) scenarios

shots: .venv/run.stamp ## draw the README's pictures from real runs
	@$(BIN)/python -m scripts.shots

bench: .venv/run.stamp  ## ours beside ngircd, InspIRCd and a bare relay, half an hour; renews benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks.compare $(if $(BENCH),$(BENCH),--results benchmarks/RESULTS.md)

bench-startup: .venv/run.stamp  ## how long the shell takes to start, beside `import cmd2`
	$(BIN)/python -m benchmarks.startup

bench-hostile: .venv/run.stamp  ## what the healthy feel of the frozen, silent, flooding and fuzzing
	$(BIN)/python -m benchmarks.hostile $(if $(BENCH),$(BENCH),--results benchmarks/RESULTS.md)

bench-cluster: .venv/dev.stamp ## one node and three nodes of a cluster beside one daemon on SQLite
	$(BIN)/python -m benchmarks.cluster $(if $(BENCH),$(BENCH),--results benchmarks/RESULTS.md)

faults: .venv/dev.stamp ## kill, cut and stall real processes; nothing may be lost
	$(BIN)/python tests/faults --seed $(SEED)

cluster-test: .venv/dev.stamp ## the scenarios against three daemons and three NATS nodes
	$(BIN)/python tests/cluster -j $(JOBS) $(CLUSTER)

cluster-faults: .venv/dev.stamp ## kill, freeze and cut off each node of a cluster; nothing may be lost
	$(BIN)/python tests/cluster/faults.py --rounds $(BLOWS) --seed $(SEED)

properties: .venv/dev.stamp ## what holds of whatever is drawn, with ten times the examples
	$(BIN)/python -m pytest -n $(JOBS) -m hypothesis --hypothesis-profile=many tests

soak: .venv/dev.stamp   ## MINUTES of mixed load with faults; memory, descriptors, nothing lost
	$(BIN)/python tests/faults/soak.py --minutes $(MINUTES) --seed $(SEED)

selectors: .venv/dev.stamp  ## run every test on each selector that this machine has
	for one in $$($(BIN)/python -c 'from chatd.net.loop import SELECTORS; print(*SELECTORS)'); do \
		echo "== $$one"; CHATD_SELECTOR=$$one $(BIN)/python -m pytest -q -n $(JOBS) || exit 1; done

harness-check: .venv/dev.stamp ## what the harness promises, at full size; takes hours
	$(BIN)/python -m pytest -o python_files='check_*.py' -o timeout=7200 --ignore=tests/checks/check_shell.py tests/checks

shell-check: .venv/dev.stamp ## 10,000 lines come in while lines are typed, on each kind of terminal
	$(BIN)/python -m pytest -o timeout=7200 -n $(JOBS) tests/checks/check_shell.py

fuzz: .venv/fuzz.stamp  ## feed the decoders, the hub and the daemon with bytes, TIME seconds each
	$(BIN)/python tests/fuzz --seconds $(TIME) $(FUZZ)

soak-harness: .venv/dev.stamp ## every scenario ROUNDS times on a busy machine, until one is flaky
	$(BIN)/python -m scripts.soak --rounds $(ROUNDS)

lint: .venv/dev.stamp   ## style
	$(BIN)/ruff check $(LINES)
	$(BIN)/ruff format --check $(LINES)

types: .venv/dev.stamp  ## types
	$(BIN)/mypy

check: lint types test  ## everything that CI runs

clean:           ## remove what was made here
	rm -rf .venv build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help chat demo shots test prove properties selectors faults cluster-test cluster-faults soak fuzz lint types check clean bench bench-startup bench-hostile bench-cluster
