.DEFAULT_GOAL := help
.PHONY: help app explore test slow soak bench gpu clean

VENV := .venv
PYTHON := $(VENV)/bin/python

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

app: $(VENV)/.installed-app ## Start the app on this machine and print its address
	exec $(PYTHON) -m streamlit run app/main.py

explore: $(VENV)/.installed-explore ## The same without training: no PyTorch, and an eighth of the size
	exec $(PYTHON) -m streamlit run app/main.py

test: $(VENV)/.installed-test ## Run the checks, and all tests but the slow ones
	sh tests/install_browser.sh $(PYTHON)
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not soak"

slow: $(VENV)/.installed-test ## Run the slow tests: whole plans, killed processes, every page in the dark
	sh tests/install_browser.sh $(PYTHON)
	$(PYTHON) -m pytest -n auto --dist loadfile --no-loadscope-reorder -m slow

soak: $(VENV)/.installed-test ## Open every page with 2,000 random addresses; takes some minutes
	$(PYTHON) -m pytest -n auto --dist load -m soak

bench: $(VENV)/.installed-test ## Measure what the design promises; takes about twenty minutes
	sh tests/install_browser.sh $(PYTHON)
	$(PYTHON) -m tests.benchmarks.bench

gpu: $(VENV)/.installed-test ## Test and measure on a GPU; takes about ten minutes, and nothing without one
	$(PYTHON) -m pytest -n 0 -m gpu
	$(PYTHON) -m tests.benchmarks.gpu

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis stg_explorer.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are the last thing a recipe writes, so an interrupted installation starts again.

$(VENV)/.installed-test: requirements.txt requirements-test.txt | $(VENV)/.made
	$(PYTHON) -m pip install -r requirements-test.txt
	touch $@ $(VENV)/.installed-app $(VENV)/.installed-explore

# Of the versions that are required, else what follows would bring the others after all.
# Without a GPU: make app TORCH=https://download.pytorch.org/whl/cpu
$(VENV)/.installed-app: requirements.txt | $(VENV)/.made
	$(if $(TORCH),$(PYTHON) -m pip install --index-url $(TORCH) $$(grep '^torch' requirements.txt))
	$(PYTHON) -m pip install -r requirements.txt
	touch $@ $(VENV)/.installed-explore

# Compiled code is made when it is first used: of all of it, it would be a fifth of the size.
$(VENV)/.installed-explore: pyproject.toml | $(VENV)/.made
	$(PYTHON) -m pip install --no-compile -e '.[app]'
	touch $@

# A command of that name may be a shim that fails when run, or lack what makes an environment.
$(VENV)/.made:
	@for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	        >/dev/null 2>&1; then \
	        echo "Making $(VENV) with $$($$python --version)"; \
	        $$python -m venv $(VENV) && touch $@ && exit 0 || exit 1; \
	    fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed; on Debian and Ubuntu:" \
	    "apt-get install python3 python3-venv" >&2; \
	exit 1
