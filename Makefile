# Needs make and Python 3.11 or newer; everything else is set up under .tidegauge and .venv.
.DEFAULT_GOAL := help
.PHONY: help setup fmt check test unit chaos fuzz build run up live down status invoke notebook e2e \
	e2e-localstack constraints
SHELL := /bin/sh

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v $$python; break; }; done)
# Lambda's Python: on the PATH, or one that pyenv has.
LAMBDA_PYTHON = $(shell for python in python3.13 \
	$${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.13.*/bin/python3.13; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null \
	&& { command -v $$python; break; }; done)
BIN := .venv/bin
UNIT := -m pytest -q -n 2 --doctest-modules tidegauge tests/unit tests/property
UV := .tidegauge/envs/uv/bin/uv
LOCAL := $(BIN)/python -m embedded
COMPOSE_FILE := localstack/docker-compose.yml
SCRIPTS := .ci/run localstack/make_passwords.sh
FUZZ := .tidegauge/envs/fuzz
FUZZ_SECONDS ?= 20
SEEDS ?= 300
EXPORT := $(UV) export --quiet --frozen --no-dev --no-hashes --no-annotate --no-header \
	--no-emit-project --extra mysql --extra lambda --extra judge --no-emit-package botocore

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 23

setup: ## make .venv from uv.lock (quick when nothing changed)
	@test -n "$(PYTHON)" || { echo "Tidegauge needs Python 3.11 or newer: install python3" >&2; exit 2; }
	@$(PYTHON) -I localstack/embedded/bootstrap.py

fmt: setup ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: setup ## format, lint, types, import rules, template, containers, lock: changes nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(UV) lock --check --quiet
	$(EXPORT) | diff - consumers/constraints.txt
	$(LOCAL) validate
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec $(COMPOSE_FILE)
	$(BIN)/hadolint localstack/sagemaker_standin/Dockerfile
	@if [ -x $(BIN)/shellcheck ]; then set -x; $(BIN)/shellcheck $(SCRIPTS); \
	else echo "There is no shellcheck for this machine: $(SCRIPTS) stay unchecked."; fi
	$(BIN)/python -m pytest -q tests/unit/test_compose_file.py tests/unit/test_hooks.py

test: setup ## all tests; sets up the servers that they need
	$(LOCAL) prepare
	$(BIN)/python $(UNIT)
	@python="$(LAMBDA_PYTHON)"; if [ -n "$$python" ]; then \
	echo "The same on Lambda's Python: $$python" && \
	UV_PROJECT_ENVIRONMENT=.tidegauge/envs/python3.13 \
	$(UV) sync --frozen --quiet --python "$$python" && \
	.tidegauge/envs/python3.13/bin/python $(UNIT); \
	else echo "No Python 3.13 here: unit tests ran on one Python alone."; fi
	$(BIN)/python -m pytest -q -n 2 tests/simulation
	$(BIN)/python -m pytest -q -n 2 --dist loadfile tests/address tests/e2e \
	tests/contracts tests/integration

unit: setup ## unit and property tests alone: no servers
	$(BIN)/python $(UNIT)

chaos: setup ## worlds in which everything goes wrong, held against a recount: make chaos SEEDS=1000
	@$(BIN)/tidegauge chaos --seeds "$(SEEDS)"

fuzz: setup ## hostile bytes for every reader, led by coverage: FUZZ_SECONDS=60 make fuzz
	@UV_PROJECT_ENVIRONMENT=$(FUZZ) $(UV) sync --frozen --quiet --python "$(PYTHON)" \
	--no-default-groups --extra cli --group fuzz
	@$(FUZZ)/bin/python -m tests.fuzz --seconds "$(FUZZ_SECONDS)" \
	$(if $(TARGET),--target "$(TARGET)") $(if $(REPLAY),--replay "$(REPLAY)")

e2e: setup ## the deployed stack from the stream to the alert; at make e2e AWS_ENDPOINT_URL=...
	$(if $(AWS_ENDPOINT_URL),TIDEGAUGE_E2E=$(or $(TIDEGAUGE_E2E),address)) $(BIN)/python -m pytest -q \
	tests/address $(if $(AWS_ENDPOINT_URL)$(TIDEGAUGE_E2E),,tests/e2e)

e2e-localstack: setup ## the same on LocalStack's own runtime without Docker; needs Python 3.13
	@python="$(LAMBDA_PYTHON)"; if [ -n "$$python" ]; then \
	echo "On LocalStack 4.14.0's runtime in host mode, not the Docker image:" && \
	LAMBDA_PYTHON="$$python" TIDEGAUGE_E2E=localstack \
	$(BIN)/python -m pytest -q tests/address tests/localstack; \
	else echo "No Python 3.13: LocalStack's host mode was not run."; fi

build: setup ## build the functions as the local engine runs them
	$(LOCAL) build

run: setup ## start everything, replay a recorded storm, show counts and alerts
	@$(BIN)/tidegauge up --replay

up: setup ## start everything, or in Docker with the replay of run: make up ENGINE=localstack
	@$(BIN)/tidegauge up $(if $(ENGINE),--engine "$(ENGINE)" --replay)

live: setup ## a second stack that counts simulated events as they happen: WINDOW_SECONDS=20 make live
	@$(BIN)/tidegauge live

down: setup ## stop everything that `make run`, `make up` and `make live` started
	@$(BIN)/tidegauge down

status: setup ## what runs, and where
	@$(BIN)/tidegauge status

invoke: setup ## run one function on its event.json: make invoke F=collect
	@$(LOCAL) invoke "$(F)"

notebook: setup ## run the notebook on servers of its own and renew its outputs
	@PYTHONPATH=.:localstack $(BIN)/python -m tests.support.notebook

constraints: setup ## renew consumers/constraints.txt from uv.lock
	$(EXPORT) --output-file consumers/constraints.txt >/dev/null
