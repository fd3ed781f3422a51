# Entry points. `make repro` and `make test` install what they need first; later runs install nothing.
SHELL := bash
.DEFAULT_GOAL := repro
VENV := .venv
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev
# One worker more than there are processors, at most five, because tests wait for servers.
WORKERS = $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) < 4 ? $$(getconf _NPROCESSORS_ONLN) + 1 : 5 )))
PARALLEL = --numprocesses $(WORKERS) --no-loadscope-reorder
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help repro ui plan status dashboard serve register-rollback setup extras test test-all soak fast lint coverage mutants audit licences bench

help:  ## list the targets; the default target is repro
	@sed -n 's/^\([a-z-]*\):.*  ## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

repro: $(READY)  ## run the pipeline, from raw images to champion
	fovea run

ui: $(READY)  ## open the MLflow UI at the view for reviewers
	fovea ui

plan: $(READY)  ## show the size and the cost of the study
	fovea plan

status: $(READY)  ## show the progress of the study
	fovea status

dashboard: $(READY)  ## open optuna-dashboard on the studies
	fovea dashboard

serve: $(READY)  ## serve the champion over HTTP on this machine
	fovea serve

register-rollback: $(READY)  ## return to the previous champion
	fovea rollback

setup: $(READY)  ## install fovea into .venv

extras: $(READY)  ## install locked extras: make extras EXTRAS="ray onnx"
	sh install.sh $(VENV) --extras "$(EXTRAS)"

test: $(DEV_READY)  ## run the tests that do not take minutes
	python -m pytest $(PARALLEL) -m "not long"

test-all: $(DEV_READY)  ## run all tests; an hour on two cores
	python -m pytest $(PARALLEL)

soak: $(DEV_READY)  ## run all tests of faults, and write docs/reliability.md
	python -m pytest $(PARALLEL) tests/faults --record; status=$$?; python -m tests.faults.catalogue; exit $$status

fast: $(DEV_READY)  ## run the tests that take a second or two
	python -m pytest $(PARALLEL) -m "not slow and not long"

lint: $(DEV_READY)  ## run ruff, ruff format and mypy --strict
	ruff check .
	ruff format --check .
	mypy

audit: $(DEV_READY)  ## check dependencies for known vulnerabilities
	python -m tests.audit

coverage: $(DEV_READY)  ## measure how many branches the tests cover
	python -m coverage erase
	-python -m coverage run -m pytest $(PARALLEL) -m "not long"  # tests that cannot be measured may fail here
	python -m coverage combine --quiet
	python -m coverage report

mutants: $(DEV_READY)  ## run mutation tests, and write docs/mutants.md
	python -m tests.mutants

licences: $(DEV_READY)  ## write docs/licences.md
	python -m tests.docs.licences

bench: $(DEV_READY)  ## run the benchmarks, and print tables
	for name in startup default_study driver engines training_speed operations precision epoch_share plan space early \
	  recipes finalists folds fashion_mnist evaluation tracking recovery examples results; do \
	  PYTHONPATH=. python "benchmarks/$$name.py" || exit; done

$(READY): requirements.lock requirements-uv.lock pyproject.toml install.sh
	@test -n "$(PYTHON)" || { echo "error: requires Python >= 3.11 with venv; set it with make PYTHON=..." >&2; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	sh install.sh $(VENV) requirements.lock
	touch $@

$(DEV_READY): $(READY) requirements-dev.lock
	sh install.sh $(VENV) requirements-dev.lock
	touch $@
