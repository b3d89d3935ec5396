.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test test-fast test-long chaos fuzz check ui ui-dev docs wheels lock clean

# Most tests wait for processes, so more than there are cores.
WORKERS ?= 6
PYTEST = .venv/bin/python -m pytest -n $(WORKERS) --dist loadgroup
# Tests start hundreds of Python processes, each of which would compile every module it imports.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## make .venv with everything that runs: locked packages, system packages, the agent runtime
	@bash scripts/setup.sh

setup-dev:
	@bash scripts/setup.sh dev

demo: setup ## run one task from upload to download; PROVIDER=anthropic|openai|openrouter for a real model
	@.venv/bin/agentcontainer demo $(if $(PROVIDER),--provider $(PROVIDER))

# In a fresh clone each worker would compile every module of the tests and of what they import.
.venv/.tests-compiled: | setup-dev
	@.venv/bin/python -m pytest -qq --collect-only tests/integration tests/unit >/dev/null & \
	.venv/bin/python -m pytest -qq --collect-only $(filter-out %/integration/ %/unit/,$(wildcard tests/[a-z]*/)) >/dev/null; \
	wait; touch $@

test: setup-dev .venv/.tests-compiled ## run the whole test suite, without the long versions; ARGS=--lf for what failed last time
	$(PYTEST) -m "not long" --durations=25 $(ARGS)

test-fast: setup-dev .venv/.tests-compiled ## run the tests of units, domain and API, in under 90 seconds
	$(PYTEST) -m "not long" --durations=25 tests/unit tests/integration/domain tests/integration/api $(ARGS)

test-long: setup-dev ## run the long versions of the tests
	$(PYTEST) -m long --timeout 3600 $(ARGS)

chaos: setup-dev ## 100 tasks through kills, pauses, cancels and wakes: SEED=1 MINUTES=5
	.venv/bin/python -m tests.acceptance.chaos --seed $(or $(SEED),1) --minutes $(or $(MINUTES),5)

fuzz: setup-dev ## fuzz every parser of hostile bytes: SECONDS=300 TARGETS="pi-frames cursors"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
		--requirement tests/fuzz/requirements.txt || true
	.venv/bin/python -m tests.fuzz $(or $(SECONDS),300) $(TARGETS)

check: setup-dev ## lint, format, types, import rules and unit tests, of ui/ too, in under a minute
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright
	.venv/bin/lint-imports
	.venv/bin/python scripts/build_ui.py check
	.venv/bin/python -m pytest -q tests/unit

ui: setup ## build the dashboard, if its sources in ui/ changed
	@.venv/bin/python scripts/build_ui.py

ui-dev: setup ## the dashboard on port 5173 with changes shown at once, before an API on port 8080
	.venv/bin/python scripts/build_ui.py dev

docs: setup-dev ## write the parts of docs/ and of the client that are generated from the code
	.venv/bin/python scripts/render_life_of_a_task.py
	.venv/bin/python scripts/render_settings.py
	.venv/bin/python scripts/render_metrics.py
	.venv/bin/python scripts/render_access.py
	.venv/bin/python scripts/render_overview.py
	.venv/bin/python scripts/render_client.py
	.venv/bin/python scripts/render_sync.py
	.venv/bin/python scripts/render_client_reference.py
	.venv/bin/python scripts/render_licences.py

wheels: setup-dev ## build the wheels of server and client, reproducibly, into dist/
	@bash scripts/wheels.sh

lock: ## regenerate the lock files from pyproject.toml; ARGS=--upgrade for newer versions
	bash scripts/lock.sh $(ARGS)

clean: ## remove .venv and everything else that was generated here
	rm -rf .venv build dist ui/node_modules src/agentcontainer/dashboard/static demo-output .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
