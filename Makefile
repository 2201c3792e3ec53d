# `make demo` and `make test` set up .venv/ by themselves; everything else is optional.
.DEFAULT_GOAL := help
.PHONY: help demo fast quick test verify check audit lock clean

PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
STAMP := .venv/installed-requirements.txt

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(STAMP) ## kill a replica under load, and see what the router makes of it
	@$(BIN)/python -m experiments.run +scenario=failover load.fit=true

fast: $(STAMP) ## compile router and simulator: the same results at half the cost; needs a C compiler
	@$(BIN)/python -m experiments.compile

quick: $(STAMP) ## tests of pure code, a minute and a half
	@$(BIN)/python -m pytest --quick -n 2

test: $(STAMP) ## all tests, as many at a time as the usual two cores: their processes are to come on time
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

verify: $(STAMP) ## measurements whose result is known before: half an hour, on an otherwise idle machine
	@$(BIN)/python -m pytest tests/measuring -rs --timeout 1200 -m "not long"

check: $(STAMP) ## linter, floors of imports, and type checker (for macOS, too)
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin & \
		$(BIN)/mypy; here=$$?; wait $$! && exit $$here

audit: $(STAMP) ## known vulnerabilities in the locked packages; asks a database on the internet
	@$(BIN)/python .ci/audit.py

LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	--python-version 3.11

lock: $(STAMP) ## write the exact versions anew: all of it, and what the services need (for their image)
	@$(LOCK) --extra dev --extra all pyproject.toml -o requirements.txt
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["services"], sep="\n")' | \
		$(LOCK) --constraints requirements.txt - -o requirements-services.txt

clean: ## remove .venv, caches and results; mlflow.db and mlruns stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache results/runs results/sweeps results/replays
	rm -rf services/binaries
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs in seconds what pip takes minutes for; where it is missing, it goes into the environment itself.
# Compiled once here, a package is not compiled while the services of the first run start.
$(STAMP): requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found as python3"; exit 1; }
	@echo "setting up .venv (once)"
	@test -x $(BIN)/uv || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt
	@cp requirements.txt $(STAMP)
