# Two commands do all set-up on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

RELEASE := .venv-release/bin
# More than processors: a good part of the tests waits for processes and disks.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")

.PHONY: help run test test-slow test-plugin test-vision chromium lint format docs site bench soak lock audit package release sbom clean

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
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

test-slow: .venv/installed  ## Every test, the slow ones too
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,slow]'
	$(BIN)/python -m pytest

test-plugin: .venv/installed  ## A third party's plugin from its own distribution
	$(BIN)/python -m pytest tests/test_example_plugin.py

test-vision: .venv/installed  ## timm and torchvision in a new environment (minutes, 6 GB)
	$(BIN)/python -m pytest tests/test_hubs.py

chromium:  ## A browser for the tests of pages, from Debian (as root)
	@command -v chromium > /dev/null || (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core)

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
	$(BIN)/python tools/reference_pages.py

site: .venv/installed  ## The documentation as web pages, into site/
	$(BIN)/mkdocs build --quiet

bench: .venv/installed  ## Every benchmark at a small size: do they work? (minutes)
	$(BIN)/python benchmarks/all.py --small

MINUTES ?= 20
soak: .venv/installed  ## Kill, fuzz and fault tests for MINUTES=20, and their record
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,fuzz]'
	$(BIN)/python tools/soak.py --minutes $(MINUTES) --json benchmarks/results/soak.json
	$(BIN)/python tools/results_pages.py

lock: .venv/installed  ## Pin the versions of this environment
	$(BIN)/python tools/lock.py --write

.venv-release/installed: tools/requirements.txt
	$(PYTHON) -m venv .venv-release
	$(RELEASE)/python -m pip install --quiet --disable-pip-version-check --requirement tools/requirements.txt
	touch $@

audit: .venv-release/installed  ## Known vulnerabilities of the pinned versions; advice
	$(RELEASE)/python tools/audit.py

package: .venv-release/installed  ## Build the source distribution and the wheel, and check them
	rm -rf dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(RELEASE)/python -m build
	$(RELEASE)/twine check --strict dist/*

release: package  ## The wheel into an empty environment, and run there (minutes)
	rm -rf build
	$(PYTHON) -m venv build/smoke
	build/smoke/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	mkdir build/elsewhere
	cd build/elsewhere && ../smoke/bin/mmalign plugins --trust && ../smoke/bin/mmalign check && ../smoke/bin/mmalign run quickstart
	$(MAKE) sbom

sbom: .venv-release/installed  ## Bill of materials of what `make release` installed
	$(RELEASE)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON -o build/mmalign.cdx.json build/smoke/bin/python

clean:  ## Remove what was built; runs/ stays
	rm -rf .venv .venv-release build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
