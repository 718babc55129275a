# Every target installs what it needs (apt packages, one virtual environment in the cache) and says what it does.
SHELL := /bin/bash
.DEFAULT_GOAL := help
LAB ?= default

.PHONY: help demo test test-all lint docs build lab-up lab-down lab-status clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo:  ## Provision, harden, back up, destroy, rebuild and prove, in the lab (about 10 minutes, first time 15)
	@lab/demo.sh $(LAB)

test:  ## Units, sanity, lint and a fixed set of scenarios (25 minutes, first time 40)
	@tests/run.sh fast

test-all:  ## Everything; goes on where it was interrupted
	@tests/run.sh all

lint:  ## ansible-lint, yamllint, mypy, shellcheck, docs lint
	@tests/run.sh lint

docs:  ## Build the reference documentation into build/docs
	@tests/run.sh docs

build:  ## Build the Galaxy artefact into build/galaxy, and install it elsewhere to look at it
	@tests/run.sh build

lab-up:  ## Start the lab (LAB=name for a second one)
	@lab/run.sh --name $(LAB) up

lab-down:  ## Stop the lab and remove all of it
	@lab/run.sh --name $(LAB) down

lab-status:  ## What runs
	@lab/run.sh --name $(LAB) status

clean:  ## Remove what was built in the checkout
	@rm -rf build .ansible .cache .mypy_cache .pytest_cache tests/output
