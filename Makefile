# The ways in. `make repro` and `make test` set everything up first; doing it again installs nothing.
SHELL := bash
.DEFAULT_GOAL := repro
VENV := .venv
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
# A worker more than there are processors, since tests wait for servers.
WORKERS = $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) < 4 ? $$(getconf _NPROCESSORS_ONLN) + 1 : 5 )))
PARALLEL = --numprocesses $(WORKERS) --no-loadscope-reorder
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help repro ui plan status dashboard serve register-rollback setup extras test test-all fast lint bench

help:  ## this list; make without a target is make repro
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

repro: $(READY)  ## from raw images to the registered champion
	fovea run

ui: $(READY)  ## the MLflow UI, on the view for reviewers
	fovea ui

plan: $(READY)  ## what a study will choose from and cost
	fovea plan

status: $(READY)  ## how the study stands
	fovea status

dashboard: $(READY)  ## optuna-dashboard on the study
	fovea dashboard

serve: $(READY)  ## the champion over HTTP on this machine
	fovea serve

register-rollback: $(READY)  ## return to the champion before this one
	fovea rollback

setup: $(READY)  ## .venv, with the command fovea

extras: $(READY)  ## options, locked: make extras EXTRAS="ray onnx"
	sh install.sh $(VENV) --extras "$(EXTRAS)"

test: $(DEV_READY)  ## the tests, but for those that take minutes
	python -m pytest $(PARALLEL) -m "not long"

test-all: $(DEV_READY)  ## all tests; an hour on two cores
	python -m pytest $(PARALLEL)

fast: $(DEV_READY)  ## the tests that take a second or two
	python -m pytest $(PARALLEL) -m "not slow and not long"

lint: $(DEV_READY)  ## ruff, ruff format, mypy --strict
	ruff check .
	ruff format --check .
	mypy

bench: $(DEV_READY)  ## the benchmarks, as tables
	for name in startup driver engines space fashion_mnist evaluation tracking examples; do \
	  PYTHONPATH=. python "benchmarks/$$name.py" || exit; done

$(READY): requirements.lock requirements-uv.lock pyproject.toml install.sh
	@test -n "$(PYTHON)" || { echo "error: needs Python >= 3.11 with venv; name one with make PYTHON=..." >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	sh install.sh $(VENV) requirements.lock
	touch $@

$(DEV_READY): $(READY) requirements-dev.lock
	sh install.sh $(VENV) requirements-dev.lock
	touch $@
