# Everything a developer or a visitor runs. Needs make, a POSIX shell and Python 3.11 or newer.
#   PYTHON=python3.12   the interpreter that makes .venv     ARGS="..."   passed to the command
#   JOBS=4              test processes (0: in one process)

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run run-aws-local test machine check bench screenshots soak backup-drill lock format \
	clean deploy deploy-plan record-calls

PYTHON ?=
ARGS ?=
ENV ?= staging
JOBS ?= 2
export PYTHON
# Where the surroundings forbid compiled files, each of a thousand starts would compile all anew.
unexport PYTHONDONTWRITEBYTECODE

bin := .venv/bin
code := $(wildcard src tests benchmarks tools deploy)
lock_options := --quiet --universal --generate-hashes --python-version 3.11 --no-config \
	--no-emit-index-url --no-emit-find-links --extra build
# Machines at AWS: Amazon Linux 2023 on Graviton.
machine_options := --quiet --generate-hashes --python-version 3.12 --python-platform aarch64-manylinux_2_28 \
	--no-config --no-emit-index-url --no-emit-find-links

help: ## Show this help
	@echo "usage: make TARGET [PYTHON=python3.12] [ARGS=\"...\"] [JOBS=2]"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

run: ## Serve the demo shop on 127.0.0.1:8000 (installs into .venv the first time)
	@tools/venv.sh run
	@exec $(bin)/storekeeper serve --demo $(ARGS)

run-aws-local: ## Serve the demo shop on local engines that stand in for AWS (needs Java 17 and Node)
	@tools/venv.sh dev
	@exec $(bin)/python -m tools.aws_local run $(ARGS)

deploy-plan: ## Say what a shop on AWS is made of and costs (ENV=staging)
	@tools/venv.sh dev
	@$(bin)/python -m deploy.aws plan "$(ENV)" $(ARGS)

deploy: ## Make or update a shop on AWS (ENV=staging|production; ARGS="--release HASH": go back)
	@tools/venv.sh dev
	@$(bin)/python -m deploy.aws deploy "$(ENV)" $(ARGS)

test: ## Run the tests (ARGS: pytest options)
	@tools/venv.sh dev
	$(bin)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

machine: ## Boot a Debian that starts as a machine at AWS does, up to a healthy shop (as root; minutes)
	@tools/venv.sh dev
	@$(bin)/python -m tests.machine

check: ## Lint, formatting, strict types, direction of imports
	@tools/venv.sh dev
	$(bin)/ruff check $(code)
	$(bin)/ruff format --check $(code)
	$(bin)/mypy $(code)
	$(bin)/lint-imports

bench: ## Run the benchmarks (ARGS: which, and their options)
	@tools/venv.sh dev
	$(bin)/python -m benchmarks $(ARGS)

screenshots: ## Take pictures of every page into build/screenshots (ARGS: some of them; --pictures: the README's)
	@tools/venv.sh dev
	$(bin)/python -m tools.screenshots $(ARGS)

backup-drill: ## Kill a shop and its continuous backup over and over, restore each time (ARGS: pytest options)
	@tools/venv.sh dev
	BACKUP_DRILL_ROUNDS=50 HYPOTHESIS_PROFILE=soak $(bin)/python -m pytest tests/streaming/test_kill.py \
		tests/streaming/test_any_order.py --timeout 0 $(ARGS)

soak: ## The long property, fuzz and fault runs (an hour and more)
	@tools/venv.sh dev
	HYPOTHESIS_PROFILE=soak $(bin)/python -m pytest tests/domain tests/contract tests/csv tests/api \
		-n $(JOBS) --timeout 0 $(ARGS)
	$(bin)/python -m benchmarks kill --rounds 200

record-calls: ## List anew what machines call at AWS (tests/deploy/recorded_calls.txt)
	@tools/venv.sh dev
	$(bin)/python -m pytest tests/contract tests/faults tests/dynamodb tests/media tests/notify tests/watch \
		tests/deploy -n $(JOBS) --dist loadfile --no-loadscope-reorder --record-calls $(ARGS)

format: ## Format the code and apply the safe lint fixes
	@tools/venv.sh dev
	$(bin)/ruff check --fix $(code)
	$(bin)/ruff format $(code)

lock: ## Write the lock files anew (ARGS=--upgrade: take the latest releases)
	@tools/venv.sh dev
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(bin)/uv pip compile $(lock_options) \
		-o requirements.lock $(ARGS) pyproject.toml
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(bin)/uv pip compile $(lock_options) \
		--extra dev --extra aws --extra valkey --extra deploy -c requirements.lock -o requirements-dev.lock $(ARGS) pyproject.toml
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(bin)/uv pip compile $(machine_options) \
		--extra aws --extra valkey -c requirements-dev.lock -o deploy/aws/requirements.lock $(ARGS) pyproject.toml
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(bin)/uv pip compile $(lock_options) \
		--extra aws -c requirements-dev.lock -o deploy/single/requirements.lock $(ARGS) pyproject.toml

clean: ## Remove .venv, caches and builds (never the shop's data)
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
