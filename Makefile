# Development tasks. `make help` lists the targets.
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

demo: setup      ## make two phantom studies, predict them, and draw the heat maps
	@test -d examples/hemorrhage || $(BIN)/ich phantom examples/hemorrhage --seed 2010 --studies 1 --size 384 --quiet
	@test -d examples/normal || $(BIN)/ich phantom examples/normal --seed 2008 --studies 1 --size 384 --quiet
	$(BIN)/ich predict examples/ -o out.csv --by study
	@cut -d, -f2-11 out.studies.csv
	$(BIN)/ich explain examples/ -o demo.explain.png
	@echo "Slices: out.csv. Studies: out.studies.csv. Heat maps: demo.explain.png"

test: $(VENV)/.installed-dev ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: $(VENV)/.installed-dev ## check style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## format the code and apply automatic fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: setup     ## measure speed on this machine
	$(BIN)/python -m benchmarks

serve: setup     ## serve the page on this machine
	$(BIN)/ich serve

CT_ICH ?= ct-ich
INIT   ?= mobilenet_v2_imagenet1001.safetensors
TRAIN  := --model mobilenetv2 --head patch --mask-weight 3 --copy-paste 0.3 --positive-fraction 0.35 --mean 0.5 --std 0.5 \
	--precision bf16 --freeze-norms yes --resume
prepared/ct-%: | setup
	$(BIN)/ich preprocess $(CT_ICH) -s ct-ich --size $* -o $@
prepared/ph-%: | setup
	$(BIN)/ich preprocess -s phantom --studies 160 --seed 0 --size $* -o $@
default-bundle: setup prepared/ct-256 prepared/ct-384 prepared/ph-256 prepared/ph-384 ## train the default bundle: make default-bundle CT_ICH=folder INIT=weights
	$(BIN)/ich train prepared/ph-256 --all --init $(INIT) --epochs 3 --lr 5e-4 --output runs/phantoms $(TRAIN)
	$(BIN)/ich train prepared/ct-256 prepared/ph-256 --sampling-weights 1,0.12 --folds 5 --refit \
	  --init runs/phantoms/bundle --epochs 4 --lr 5e-4 --output runs/first $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --sampling-weights 1,0.2 --folds 5 --refit \
	  --init runs/first --epochs 2 --lr 2e-4 --output runs/wide $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --sampling-weights 1,0.2 --folds 5 --refit \
	  --init runs/wide --epochs 1 --lr 2e-4 --output runs/wider $(TRAIN)
	$(BIN)/ich train prepared/ct-384 prepared/ph-384 --sampling-weights 1,0.2 --folds 5 --refit \
	  --init runs/wider --epochs 1 --lr 2e-4 --output runs/widest $(TRAIN)
	$(BIN)/ich train prepared/ct-256 prepared/ph-256 --sampling-weights 1,0.12 --folds 5 --refit \
	  --init runs/first --epochs 1 --lr 2e-4 --output runs/second $(TRAIN)
	$(BIN)/ich ensemble runs/widest runs/second --data prepared/ct-384 --sequence smooth --output runs/both
	cp -r $(addprefix runs/both/bundle/,config.json sequence.safetensors 0 1) hub/default/
	@echo "The new card is runs/both/bundle/README.md; copy its figures into hub/default/README.md."

$(VENV)/.installed-release: $(VENV)/.installed-dev
	$(PIP) --editable '.[release]'
	@touch $@

coverage: $(VENV)/.installed-dev ## measure branch coverage, child processes included
	$(BIN)/coverage erase
	OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR) $(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

mutants: $(VENV)/.installed-release ## mutation testing, six minutes: see docs/quality.md
	OMP_NUM_THREADS=1 $(BIN)/mutmut run --max-children 2 $(ARGS)
	$(BIN)/python -m tools.mutants

dist: $(VENV)/.installed-release ## build sdist and wheel, and try the wheel in an empty environment
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tools.try_dist $(ARGS)

constraints: $(VENV)/.installed-release ## renew constraints.txt with the newest versions, for every platform
	$(BIN)/uv pip compile pyproject.toml --upgrade --all-extras --universal --python-version 3.11 \
	    --strip-extras --no-emit-package httpx2-jsfetch --custom-compile-command 'make constraints' \
	    --quiet --output-file constraints.txt
	@echo "Now: make test lint, then make licences"

licences: $(VENV)/.installed-release ## renew docs/licences.md from the packages in constraints.txt
	$(BIN)/python -m tools.licences

clean:           ## remove generated files, .venv included
	rm -rf $(VENV) build dist mutants *.egg-info examples out.csv out.studies.csv *.explain.png
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
