# make demo   train with and without weights on generated CT, and compare them in a report
# make test   every test that is neither slow nor needs a GPU
# make docs   the documentation as a site, in site/
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.adawac-installed
# A process a core, of one thread each: networks this small gain nothing from more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

.PHONY: demo test test-all lint docs clean

demo: $(READY)
	$(BIN)/python scripts/demo.py

test: $(READY) lint docs
	$(PYTEST) -m "not slow and not gpu"

test-all: $(READY) lint docs
	$(PYTEST) --cov=adawac --cov-report=term:skip-covered

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Needs no network; a warning, such as a link that leads nowhere, is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# An existing environment is kept; it is brought up to date when the requirements change.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache htmlcov .coverage
