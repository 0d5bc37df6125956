# make demo   train with and without weights on generated CT, and compare them in a report
# make test   every test that is neither slow nor needs a GPU
# make docs   the documentation as a site, in site/
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.adawac-installed
AXE := $(VENV)/axe-core/axe.min.js
# A process a core, of one thread each: networks this small gain nothing from more. In the order of the files, for
# those that train come first and the last to end are short.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
# Else every process that a test starts would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all pytest lint docs clean

demo: $(READY)
	$(BIN)/python scripts/demo.py

# Side by side, for mypy has one process; one that fails fails all.
test: $(READY)
	$(MAKE) --no-print-directory --jobs 2 lint docs pytest

pytest: $(READY) $(AXE)
	$(PYTEST) -m "not slow and not gpu"

test-all: $(READY) $(AXE) lint docs
	$(PYTEST) --cov=adawac --cov-report=term:skip-covered

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Needs no network; a warning, such as a link that leads nowhere, is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# An existing environment is kept; it is brought up to date when the requirements change. Of its 13,000 files a third is
# ever imported, and compiled then. The pip that comes with older Pythons takes twice as long.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[dev]'
	touch $@

# Looks at the pages of reports. Where there is no npm or network the test that takes it is skipped, and says so.
$(AXE): | $(READY)
	-command -v npm && npm pack --silent --fetch-retries 0 --pack-destination $(VENV) axe-core@4.14.1 \
	  && mkdir -p $(@D) && tar xzf $(VENV)/axe-core-4.14.1.tgz -C $(@D) --no-same-owner --strip-components 1

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache htmlcov .coverage
