# The ways in. `make repro` and `make test` set everything up first; doing it again installs nothing.
SHELL := bash
.DEFAULT_GOAL := repro
VENV := .venv
READY := $(VENV)/.ready
PARALLEL := --numprocesses auto --maxprocesses 4 --no-loadscope-reorder
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help repro test fast lint ui plan status dashboard bench register-rollback setup git

repro: $(READY) git  ## from raw images to the registered champion
	dvc repro

test: $(READY)  ## all tests
	python -m pytest $(PARALLEL)

fast: $(READY)  ## the tests that take a second or two
	python -m pytest $(PARALLEL) -m "not slow"

lint: $(READY)  ## ruff, ruff format, mypy --strict
	ruff check .
	ruff format --check .
	mypy

ui: $(READY)  ## the MLflow UI, on the view for reviewers
	python -m pipeline.tracking ui

plan: $(READY)  ## what a study will choose from and cost
	python -m search --plan

status: $(READY)  ## how the study stands
	python -m search --status

dashboard: $(READY)  ## optuna-dashboard on the study
	python -m search --dashboard

bench: $(READY)  ## the benchmarks, as tables
	for name in startup driver engines space fashion_mnist evaluation tracking; do \
	  PYTHONPATH=. python "benchmarks/$$name.py" || exit; done

register-rollback: $(READY)  ## give the alias back to the champion before this one
	python -m pipeline.register --rollback

setup: $(READY)  ## .venv, with the command fovea

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

git:
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { \
	  echo "error: $(CURDIR) is no git repository, which DVC needs; clone the project, or run 'git init'" >&2; exit 1; }

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: needs Python >= 3.11 with venv; name one with make PYTHON=..." >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(VENV)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@
