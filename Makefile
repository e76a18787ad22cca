# Two commands do all set-up on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help run test test-slow test-plugin test-vision lint format docs bench soak clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

# constraints.txt holds the tested versions; an unpinned torch would bring CUDA along.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

run: .venv/installed  ## Install, then run the quickstart
	$(BIN)/mmalign run recipes/quickstart.toml

test: .venv/installed  ## Install, then run the tests (minutes)
	$(BIN)/python -m pytest -n auto -m "not slow"

test-slow: .venv/installed  ## Every test, the slow ones too
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,slow]'
	$(BIN)/python -m pytest

test-plugin: .venv/installed  ## A third party's plugin from its own distribution
	$(BIN)/python -m pytest tests/test_example_plugin.py

test-vision: .venv/installed  ## timm and torchvision in a new environment (minutes, 6 GB)
	$(BIN)/python -m pytest tests/test_hubs.py

lint: .venv/installed  ## Format, lint and types, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed  ## Mend format and lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed  ## Write the generated pages again
	$(BIN)/python tools/hooks_page.py > docs/hooks.md
	$(BIN)/python tools/results_pages.py

bench: .venv/installed  ## Every benchmark at a small size: do they work? (minutes)
	$(BIN)/python benchmarks/all.py --small

MINUTES ?= 20
soak: .venv/installed  ## Kill, fuzz and fault tests for MINUTES=20, and their record
	$(BIN)/python tools/soak.py --minutes $(MINUTES) --json benchmarks/results/soak.json
	$(BIN)/python tools/results_pages.py

clean:  ## Remove what was built; runs/ stays
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
