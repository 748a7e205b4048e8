# Everything a person or a CI does here. `make help` lists the targets.
.PHONY: help setup demo test lint format bench serve default-bundle coverage mutants dist constraints licences clean
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --constraint constraints.txt

help:            ## list the targets
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  +##' $(MAKEFILE_LIST) | sed -E 's/:.*## */ ## /' | awk -F ' ## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## create .venv and install the project into it

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"ich needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing into $(VENV): torch is large, the first time takes a few minutes."
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

demo: setup      ## two phantom studies, their predictions, and a picture of the worst slice
	@test -d examples/hemorrhage || $(BIN)/ich phantom examples/hemorrhage --seed 2010 --studies 1 --size 384 --quiet
	@test -d examples/normal || $(BIN)/ich phantom examples/normal --seed 2008 --studies 1 --size 384 --quiet
	$(BIN)/ich predict examples/ -o out.csv --by study
	@cut -d, -f2-11 out.studies.csv
	$(BIN)/ich explain examples/ -o demo.explain.png
	@echo "The table: out.csv, one row a file; a study a row: out.studies.csv. The picture: demo.explain.png"

test: $(VENV)/.installed-dev ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## format the code and mend what can be mended by machine
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup     ## speed as ratios, measured on this machine
	$(BIN)/python -m benchmarks

serve: setup     ## the demo page on this machine
	$(BIN)/ich serve

CT_ICH ?= ct-ich
INIT   ?= mobilenet_v2_imagenet1001.safetensors
TRAIN  := --model mobilenetv2 --head cells --mask-weight 3 --transplants 0.3 --positives 0.35 --mean 0.5 --std 0.5 \
	--precision bf16 --freeze-norms yes --resume
prepared/ct-%: | setup
	$(BIN)/ich preprocess $(CT_ICH) -s ct-ich --size $* -o $@
prepared/ph-%: | setup
	$(BIN)/ich preprocess -s phantom --studies 160 --seed 0 --size $* -o $@
default-bundle: setup prepared/ct-256 prepared/ct-384 prepared/ph-256 prepared/ph-384 ## train the bundle that ships: make default-bundle CT_ICH=folder INIT=weights
	$(BIN)/ich train prepared/ph-256 --all --init $(INIT) --epochs 3 --lr 5e-4 --out runs/phantoms $(TRAIN)
	$(BIN)/ich train prepared/ct-256 prepared/ph-256 --mix 1,0.12 --folds 5 --refit \
	  --init runs/phantoms/bundle --epochs 4 --lr 5e-4 --out runs/first $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --mix 1,0.2 --folds 5 --refit \
	  --init runs/first --epochs 2 --lr 2e-4 --out runs/wide $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --mix 1,0.2 --folds 5 --refit \
	  --init runs/wide --epochs 1 --lr 2e-4 --out runs/wider $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --mix 1,0.2 --folds 5 --refit \
	  --init runs/wider --epochs 1 --lr 2e-4 --out runs/widest $(TRAIN)
	$(BIN)/ich train prepared/ct-256 prepared/ph-256 --mix 1,0.12 --folds 5 --refit \
	  --init runs/first --epochs 1 --lr 2e-4 --out runs/second $(TRAIN)
	$(BIN)/ich ensemble runs/widest runs/second --data prepared/ct-384 --sequence smooth --output runs/both
	cp -r $(addprefix runs/both/bundle/,config.json sequence.safetensors 0 1) hub/default/
	@echo "The new card is runs/both/bundle/README.md; take its figures over into hub/default/README.md."

$(VENV)/.installed-release: $(VENV)/.installed-dev
	$(PIP) --editable '.[release]'
	@touch $@

coverage: $(VENV)/.installed-dev ## branch coverage of the package and the page, processes they start included
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: $(VENV)/.installed-release ## do the tests notice a wrong line? docs/quality.md (six minutes)
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(ARGS)
	$(BIN)/python -m tools.mutants

dist: $(VENV)/.installed-release ## sdist and wheel, checked, and tried in an empty environment
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tools.try_dist $(ARGS)

constraints: $(VENV)/.installed-release ## renew constraints.txt: the newest of everything, for every platform
	$(BIN)/uv pip compile pyproject.toml --upgrade --all-extras --universal --python-version 3.11 \
	    --strip-extras --no-emit-package httpx2-jsfetch --custom-compile-command 'make constraints' \
	    --quiet --output-file constraints.txt
	@echo "Now: make test lint, then make licences"

licences: $(VENV)/.installed-release ## renew docs/licences.md from what constraints.txt pins
	$(BIN)/python -m tools.licences

clean:           ## remove what the targets made, .venv too
	rm -rf $(VENV) build dist mutants *.egg-info examples out.csv out.studies.csv *.explain.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
