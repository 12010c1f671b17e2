# `make help` lists the targets. Nothing beyond make and Python 3.11-3.13 is needed; all of it stays in .venv.
SHELL := /bin/sh
.DEFAULT_GOAL := help

DATA ?=                # folder of a data set; empty: synthetic concrete
OUT ?= runs/series     # run folder
MAX ?= 0               # pictures used of DATA; 0: all
N ?= 00                # notebook of a lesson, or of slides
LAB ?=                 # options of JupyterLab or Voilà, such as --no-browser
JOBS ?= 2              # processes among which the tests are divided; each holds a TensorFlow, about 1 GB
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell command -v $(p) 2>/dev/null)))

# How kernels start, also those of notebooks that import TensorFlow before crackviz.
KERNEL_CONFIG = $(VENV)/etc/ipython/ipython_kernel_config.py
define KERNELS
import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as crackviz does: trainings take less time
c.IPKernelApp.capture_fd_output = False  # TensorFlow's start-up lines stay out of notebooks
endef
export KERNELS

# What .venv was made from, and where: another lock file, another Python or a moved folder makes it anew.
KEY = $$(cksum < requirements.lock) $(CURDIR) $(PYTHON)

.PHONY: help setup run test fast lab lesson app book slides notebooks lint clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo '  DATA=folder   pictures to run on (synthetic concrete)   OUT=folder   where results go (runs/series)   MAX=2000   so many of them'

setup:
	@if [ "$$(cat $(VENV)/.complete 2>/dev/null)" = "$(KEY)" ] && $(BIN)/python -c '' 2>/dev/null; then exit 0; fi; \
	set -e; \
	test -n "$(PYTHON)" || { echo 'No Python found: install Python 3.11, or name one: make PYTHON=/path/to/python3.11'; exit 2; }; \
	"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and "%s is Python %d.%d; crackviz needs 3.11, 3.12 or 3.13: make PYTHON=/path/to/python3.11" % ((sys.executable,) + v))'; \
	echo 'Setting up $(VENV) (once, a few minutes) ...'; \
	rm -rf $(VENV); \
	"$(PYTHON)" -m venv $(VENV); \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	echo "$(KEY)" > $(VENV)/.complete.part; \
	mv $(VENV)/.complete.part $(VENV)/.complete; \
	echo 'Ready.'
	@mkdir -p $(VENV)/etc/ipython; [ "$$(cat $(KERNEL_CONFIG) 2>/dev/null)" = "$$KERNELS" ] || echo "$$KERNELS" > $(KERNEL_CONFIG)

run: setup  ## the whole series, headlessly, on synthetic concrete or DATA=path/to/pictures
	@$(BIN)/crackviz run --out '$(strip $(OUT))' $(if $(strip $(DATA)),--data '$(strip $(DATA))' -p max_images '$(strip $(MAX))',$(if $(filter-out 0,$(strip $(MAX))),-p max_images '$(strip $(MAX))'))

test: setup  ## every test: style, types, library, notebooks
	@$(MAKE) --no-print-directory lint
	@# in the files' own order: sorted by their number of tests, the one that trains longest would run last, alone
	@$(BIN)/python -m pytest -n $(strip $(JOBS)) --dist loadfile --no-loadscope-reorder
	@$(BIN)/python -m pytest -n $(strip $(JOBS)) --dist loadscope --nbval-lax \
		--nbval-sanitize-with notebooks/nbval_sanitize.cfg notebooks

fast: setup  ## the quick tests alone (under 3 minutes)
	@$(BIN)/python -m pytest -n $(strip $(JOBS)) --dist loadfile -m 'not slow'

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy crackviz

lab: setup  ## open JupyterLab: the first notebook, and the theory beside it
	@$(BIN)/python -m crackviz.series.lab 00 $(LAB)

lesson: setup  ## the same for another notebook: make lesson N=06
	@$(BIN)/python -m crackviz.series.lab '$(strip $(N))' $(LAB)

app: setup  ## sliders for threshold, layer, method and more, as a page on this machine
	@$(BIN)/python -m crackviz.series.lab app $(LAB)

book: setup  ## the theory and the notebooks as a book that needs no net: build/book/index.html
	@$(BIN)/python book/build.py

slides: setup  ## a notebook's text and figures as slides: make slides N=06
	@$(BIN)/python book/slides.py '$(strip $(N))'

notebooks: setup  ## make the committed notebooks anew from notebooks/source
	@$(BIN)/python notebooks/build.py

clean:  ## remove the environment, runs and caches
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache .hypothesis crackviz.egg-info build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
