# One command per job; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# `make test INSTALL=` tests the plain install, which is what ships.
INSTALL ?= -e
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# Arguments of the main job.
RUN ?= --out runs/embedded
export OMP_NUM_THREADS ?= 1

.PHONY: help run test lint types bench pretrained wheel clean

help:  ## List the jobs
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: $(VENV)/.run  ## The main job on the embedded market
	$(BIN)/worldmodel-trading run $(RUN)

test: $(VENV)/.test  ## Every test
	$(BIN)/pytest

lint: $(VENV)/.dev  ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.types  ## Strict types of the installed package
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p worldmodel_trading

bench: $(VENV)/.dev  ## Benchmarks, as ratios
	$(BIN)/python -m benchmarks

pretrained: $(VENV)/.run  ## Rebuild the world model that ships with the package
	$(BIN)/worldmodel-trading pretrained --out models/pretrained/default

wheel: $(VENV)/.dev  ## Build the wheel into dist/
	$(BIN)/python -m build --wheel --outdir dist .

clean:  ## Remove what the jobs made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) $(INSTALL) .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) $(INSTALL) '.[test]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(PIP) $(INSTALL) '.[dev]'
	touch $@

# mypy does not follow the import hooks of an editable install, so types are checked on a plain one.
$(VENV)/.types: $(VENV)/.dev $(shell git ls-files -- '*.py' '*.pyi')
	$(PIP) --no-deps --force-reinstall .
	touch $@
