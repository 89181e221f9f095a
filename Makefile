# Everything a newcomer needs. `make help` lists it.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
# PyTorch's own index of CPU builds saves gigabytes where it can be reached: make setup TORCH_INDEX=URL
TORCH_INDEX ?=
PIP    := $(BIN)/python -m pip install --disable-pip-version-check -c constraints-3.11.txt

.PHONY: help setup setup-dev format check lint types imports docs test test-slow bench demo ui serve clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/ready: pyproject.toml constraints-3.11.txt
	@echo "Installing into $(VENV): about 3 GB on disk. From PyPI, torch for Linux x86 brings CUDA (2.7 GB to"
	@echo "download); 'make setup TORCH_INDEX=URL' with PyTorch's CPU index avoids that."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(PIP) -e '.[serve,openvino,train,pipeline]'
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(PIP) -e '.[serve,postgres,mqtt,openvino,train,pipeline,trt-rtx,dev]'
	$(PIP) --no-deps tritonclient
	@touch $@

setup: $(VENV)/ready ## install what the main job needs into .venv
setup-dev: $(VENV)/ready-dev ## the same with what tests and checks need

demo: $(VENV)/ready ## render a line, train, promote, serve and inspect it (a few minutes)
	PATH="$(abspath $(BIN)):$$PATH" bash deploy/demo.sh

ui: $(VENV)/ready ## open Dagster's web UI on the store and the runs of the demo
	PATH="$(abspath $(BIN)):$$PATH" bash deploy/ui.sh

serve: $(VENV)/ready ## serve the live release of LINE (default: the demo's)
	$(BIN)/vision-serve run --store "$${VISION_STORE:-.vision/store}" --line $(or $(LINE),turin/press-3)

test: $(VENV)/ready-dev ## every test but the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(VENV)/ready-dev ## soaks and many kills
	$(BIN)/python -m pytest -m slow --timeout 3600

format: $(VENV)/ready-dev ## format and mend what can be mended
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: $(VENV)/ready-dev
	$(BIN)/ruff format --check . && $(BIN)/ruff check .

types: $(VENV)/ready-dev
	$(BIN)/mypy

imports: $(VENV)/ready-dev
	$(BIN)/lint-imports

docs: $(VENV)/ready-dev ## check that the documentation is current
	$(BIN)/python -m pytest -q tests/test_docs.py

check: lint types imports test ## all that .ci/run does

# make bench runs all, make bench NAME=ingest one; results are kept in benchmarks/results. Names the
# goals that were missed, at the end.
bench: $(VENV)/ready-dev ## measure; NAME=… for one
	@set -e; for name in $(if $(NAME),$(NAME),$(sort $(notdir $(basename $(wildcard benchmarks/*.py)) $(patsubst %/__main__.py,%,$(wildcard benchmarks/*/__main__.py))))); do \
		echo "== $$name"; \
		$(BIN)/python -m benchmarks.$$name --json benchmarks/results/$$name.json; done
	@! grep -H -B3 '"ok": false' benchmarks/results/*.json

clean: ## remove what the demo made, not .venv
	rm -rf .vision
