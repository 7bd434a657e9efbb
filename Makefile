# make demo and make test set up what is missing by themselves; the second time at once.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-gpu faults lint bench bench-peers accuracy senses search cluster scale lock audit test-oldest clean

help:  ## list these targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## system packages, virtual environment, pinned packages, the project

$(READY): pyproject.toml requirements.lock requirements-sys.txt setup.sh
	PYTHON="$(PYTHON)" bash setup.sh
	@touch $@

demo: $(READY)  ## draw clips with sound, build samples, train, report (under 3 minutes)
	$(BIN)/fmrgb demo --output $(or $(OUTPUT),demo)

test: $(READY)  ## the tests that are quick
	$(BIN)/python -m pytest -q $(ARGS)

test-slow: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow $(ARGS)

test-gpu: $(READY)  ## the tests that need an accelerator
	$(BIN)/python -m pytest -q -m gpu $(ARGS)

faults: $(READY)  ## the bench of faults, all of it: hours; goes on where it stopped
	$(BIN)/python tests/faults/whole.py $(ARGS)

lint: $(READY)  ## layout, style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## speed and growth; with MODEL=run/best.ckpt that of prediction too
	$(BIN)/python benchmarks/build_speed.py
	$(BIN)/python benchmarks/startup_speed.py
	$(BIN)/python benchmarks/growth.py
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/pack_speed.py
	$(if $(MODEL),$(BIN)/python benchmarks/predict_speed.py --model $(MODEL))

bench-peers: $(READY)  ## what `make bench` compares with, and timm, in a folder of its own
	$(BIN)/python benchmarks/build_speed.py --install
	$(BIN)/python -m pip install -q --no-deps --target benchmarks/.work/peers torchvision==0.28.0 timm==1.0.31 safetensors==0.8.0 litdata==0.2.76 lightning-utilities==0.15.3 obstore==0.12.1 tifffile==2026.3.3

accuracy: $(READY)  ## accuracy on real clips, three hours of it; goes on where it stopped
	$(BIN)/python benchmarks/accuracy.py $(or $(ARGS),--minutes 180)

senses: $(READY)  ## sound alone and pairs with gaps, on real media, half an hour; likewise
	$(BIN)/python benchmarks/senses.py $(ARGS)

search: $(READY)  ## cost of the learning-rate search beside a full grid; goes on likewise
	$(BIN)/python benchmarks/search_cost.py $(ARGS)

cluster: $(READY)  ## rehearsals on several hosts, some of them lost: ten minutes, root
	$(BIN)/python benchmarks/cluster.py $(ARGS)

scale: $(READY)  ## what large builds cost: 10,000 clips, and a model of more
	$(BIN)/python benchmarks/scale.py $(ARGS)

TOOLS := .venv-tools/bin

$(TOOLS)/uv:
	$(PYTHON) -m venv .venv-tools
	$(TOOLS)/pip install -q uv pip-audit

UPGRADE = $(if $(NEWER),--upgrade)

lock: $(TOOLS)/uv  ## settle versions and hashes of all packages; NEWER=1 takes newer ones
	$(TOOLS)/uv pip compile --quiet pyproject.toml requirements.in --extra dev --universal \
	    --python-version 3.10 --generate-hashes --no-emit-package torch --no-annotate \
	    --custom-compile-command "make lock" $(UPGRADE) --output-file requirements.lock

audit: $(TOOLS)/uv  ## look the locked packages up in PyPI's list of known faults
	$(TOOLS)/pip-audit --disable-pip --requirement requirements.lock

test-oldest: $(TOOLS)/uv  ## the tests with the oldest packages that pyproject.toml allows
	bash tests/oldest.sh $(ARGS)

clean:  ## remove the virtual environment and caches
	rm -rf .venv .venv-tools .venv-oldest .pytest_cache .mypy_cache .ruff_cache
