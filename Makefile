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

# What depends on other packages: the lowest versions are tested with these.
LOWEST := tests/market/files tests/market/bybit/test_feed.py tests/market/account/test_broker_oracle.py \
	tests/market/numerics tests/envs/engine tests/envs/population/test_executors.py \
	tests/envs/test_clients.py tests/envs/test_rendering.py tests/models tests/agents/test_sb3.py \
	tests/agents/test_sb3_vec.py tests/agents/test_cma_es.py tests/evaluation/test_likelihood.py \
	tests/evaluation/test_density.py tests/evaluation/test_significance.py \
	tests/evaluation/fidelity/test_two_sample.py tests/evaluation/report/test_plot.py \
	tests/evaluation/report/test_run_page.py tests/suite/test_faces.py

.PHONY: help run test test-lowest lint types docs docs-serve figures bench pretrained wheel clean

help:  ## List the jobs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

run: $(VENV)/.run  ## The main job on the embedded market
	$(BIN)/worldmodel-trading run $(RUN)

test: $(VENV)/.test  ## Every test, one process a core
	$(BIN)/pytest -n auto --maxprocesses 4 --dist worksteal

test-lowest: $(VENV)-lowest/.test  ## What depends on other packages, with their lowest versions
	$(VENV)-lowest/bin/pytest -m "not slow" -W default::DeprecationWarning \
	    -W default::FutureWarning -W default::PendingDeprecationWarning $(LOWEST)

lint: $(VENV)/.dev  ## Style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.types  ## Strict types of the installed package
	cd $(VENV) && bin/mypy --config-file ../pyproject.toml -p worldmodel_trading

docs: $(VENV)/.types  ## The documentation's site into site/; a warning is an error
	PYTHONPATH=docs $(BIN)/zensical build --clean --strict

docs-serve: $(VENV)/.types  ## The same at http://localhost:8000, built anew with each change
	PYTHONPATH=docs $(BIN)/zensical serve

figures: $(VENV)/.dev  ## Measure the figures of README and docs anew: CANDLES=folder, ONLY="names"
	$(BIN)/python -m benchmarks.figures $(if $(CANDLES),--candles $(CANDLES)) $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/.dev  ## Benchmarks, as ratios
	$(BIN)/python -m benchmarks

pretrained: $(VENV)/.run  ## Rebuild the world model that ships with the package
	$(BIN)/worldmodel-trading pretrained --out models/pretrained/default --overwrite

wheel: $(VENV)/.dev  ## Build the wheel and the source distribution into dist/
	$(BIN)/python -m build --outdir dist .

clean:  ## Remove what the jobs made
	rm -rf $(VENV) $(VENV)-lowest build dist site .cache *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

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

# The lowest torch has no build without CUDA where most packages come from: gigabytes.
$(VENV)-lowest/.test: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/pip install --quiet --disable-pip-version-check -c constraints-lowest.txt '.[test]'
	touch $@

# Neither mypy nor the API pages follow the import hooks of an editable install: both look at a plain one.
$(VENV)/.types: $(VENV)/.dev $(shell git ls-files -- '*.py' '*.pyi')
	$(PIP) --no-deps --force-reinstall .
	touch $@
