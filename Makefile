# Everything runs in .venv, which the first target that needs it makes and later ones use again.
# PYTHON is any CPython from 3.11 to 3.13.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check format bench clean

run: $(VENV)/.installed ## set up, then train, check, show and save: the main job
	$(BIN)/accelmnist run $(ARGS)

test: $(VENV)/.installed ## set up, then the tests, on every core, but for those marked slow
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadgroup -m "not slow" $(ARGS)

check: $(VENV)/.installed ## linter, formatter and strict types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.installed ## the benchmarks
	$(BIN)/python -m pytest --benchmark-only $(ARGS)

format: $(VENV)/.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

# The mark is younger than pyproject.toml once the install went through, so a change of requirements installs anew.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@
