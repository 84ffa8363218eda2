# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The sources themselves, so that nothing has to be installed again after a change.
export PYTHONPATH := $(CURDIR)/src:$(CURDIR)
ARGS ?=
SOURCES := $(shell find src twisted -name '*.py')

.PHONY: run test quick soak weather clients guard debian-packages lint format bench docs image-check clean

# On loopback unless a variable, LLMEDGE_CONFIG or ARGS="--port …" says otherwise.
run: $(VENV)/run.stamp
	@$(if $(LLMEDGE_CONFIG),,SERVER_ADDRESS=$${SERVER_ADDRESS:-127.0.0.1:8080} LLMEDGE_STORE=$${LLMEDGE_STORE-sqlite:.llmedge/llmedge.db}) exec $(BIN)/twist llmedge $(ARGS)

test: $(VENV)/test.stamp $(VENV)/sslyze.stamp $(VENV)/openai2.stamp $(VENV)/llama-index.stamp $(VENV)/node.stamp | debian-packages
	@$(BIN)/python tests/run.py

# What is tried with every change: no gateway's process, fewer examples. Half a minute.
quick: $(VENV)/test.stamp
	@$(BIN)/python tests/run.py --quick

# Properties and simulations, as hard as they go: before a release, or when one of them is in doubt.
soak: $(VENV)/test.stamp
	@$(BIN)/python tests/run.py --soak

# Every client tried with a vendor of every dialect, as a table: before a release, or when a client has a new version.
clients: $(VENV)/test.stamp $(VENV)/llama-index.stamp $(VENV)/node.stamp $(VENV)/more.stamp | debian-packages
	@$(BIN)/python -m tests.e2e.conversations $(ARGS)

# Bad weather on the real service, with what is learned and without: half an hour, and a table at the end.
weather: $(VENV)/test.stamp
	@$(BIN)/python -m benchmarks.weather $(ARGS)

debian-packages:
	@tests/debian-packages

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src

format: $(VENV)/dev.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/test.stamp
	$(BIN)/python -m benchmarks $(ARGS)

# Instructions for a call, compared with those on record.
guard: $(VENV)/test.stamp | debian-packages
	@$(BIN)/python -m benchmarks.guard

docs: $(VENV)/dev.stamp
	@mkdir -p docs/_build
	$(BIN)/docutils --strict README.rst docs/_build/README.html
	for page in CONTRIBUTING SECURITY tests/README; do $(BIN)/docutils --strict $$page.rst docs/_build/page.html || exit 1; done
	$(BIN)/sphinx-build -W --keep-going -n -q -E -d docs/_build/doctrees docs docs/_build/html
	@echo 'The pages are in docs/_build/html: open docs/_build/html/index.html'

# Not part of `make test`: it takes two minutes, root, and the Debian packages buildah and debootstrap.
image-check:
	docker/check-image $(ARGS)

clean:
	rm -rf $(VENV) build dist docs/_build _trial_temp*

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "llmedge needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip

$(VENV)/run.stamp: setup.cfg pyproject.toml $(SOURCES) | $(BIN)/python
	@echo 'Installing llmedge into .venv, which takes about half a minute the first time.'
	$(BIN)/pip install --quiet .
	@touch $@

$(VENV)/test.stamp: setup.cfg pyproject.toml | $(BIN)/python
	@echo 'Installing what the tests need into .venv, which takes a minute or two the first time.'
	$(BIN)/pip install --quiet '.[test]'
	@touch $@

# In an environment of its own: it wants an older cryptography than ours.
$(VENV)/sslyze.stamp: | $(BIN)/python
	@echo 'Installing sslyze into an environment of its own.'
	$(PYTHON) -m venv $(VENV)/sslyze
	$(VENV)/sslyze/bin/pip install --quiet 'sslyze >= 6, < 7'
	@touch $@

# The older of the two openai packages that are in use, in a folder of its own.
$(VENV)/openai2.stamp: | $(BIN)/python
	@echo 'Installing an older openai for the tests.'
	rm -rf $(VENV)/openai2
	$(BIN)/pip install --quiet --target $(VENV)/openai2 'openai >= 2, < 3'
	@touch $@

# In an environment of its own: it wants an older openai than ours.
$(VENV)/llama-index.stamp: tests/e2e/conversations/llama-index.txt | $(BIN)/python
	@echo 'Installing LlamaIndex into an environment of its own, which takes a minute or so.'
	$(PYTHON) -m venv $(VENV)/llama-index
	$(VENV)/llama-index/bin/pip install --quiet -r tests/e2e/conversations/llama-index.txt
	@touch $@

# Clients and a vendor written in JavaScript. Without npm the tests that need them say so and are skipped.
$(VENV)/node.stamp: tests/e2e/clients/package.json | $(BIN)/python debian-packages
	@echo 'Installing clients written in JavaScript, where there is npm, which takes a minute or so.'
	@mkdir -p $(VENV)/node
	@cp tests/e2e/clients/package.json $(VENV)/node/
	@if command -v npm >/dev/null; then set -ex; npm install --prefix $(VENV)/node --ignore-scripts --silent --no-audit --no-fund --no-package-lock; node $(VENV)/node/node_modules/@anthropic-ai/claude-code/install.cjs; touch $@; fi

# Clients that are too large, or too slow, for every run of the tests.
$(VENV)/more.stamp: tests/e2e/conversations/more.json | $(BIN)/python debian-packages
	@mkdir -p $(VENV)/more
	@cp tests/e2e/conversations/more.json $(VENV)/more/package.json
	npm install --prefix $(VENV)/more --ignore-scripts --silent --no-audit --no-fund --no-package-lock
	cd $(VENV)/more/node_modules/opencode-ai && node postinstall.mjs
	@touch $@

$(VENV)/dev.stamp: setup.cfg pyproject.toml | $(BIN)/python
	@echo 'Installing what checks and documents the source into .venv, which takes a minute or two.'
	$(BIN)/pip install --quiet '.[test,dev]'
	@touch $@
