# `make repro` scores the recorded networks again; `make test` runs the tests. Both set up .venv when needed.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# Runs side by side, one thread each; without it one per core, or one at a time on a GPU.
JOBS ?=
GRAPH_OPTIONS := $(if $(JOBS),--jobs $(JOBS))

.PHONY: help setup fetch analyse repro retrain record graph test test-slow smoke pages browser bench bench-gpu lint audit relock docs shipped clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed ## create .venv, install, and fetch the record (2 to 6 minutes the first time)

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "== setting up $(VENV): 2 to 6 minutes the first time"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@start=$$SECONDS; $(PYTHON) -m venv $(VENV) \
		&& $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[repro,test,dev,docs]' \
		&& touch $@ && echo "== set up in $$((SECONDS - start)) s"
	@# With the record here DVC has nothing to do; without it "dvc repro" would train for hours.
	@echo "== the record: out of the store, and about 145 MB of assets"
	@python -m dfpg record fetch || echo "== the record is not here (see above): later, dfpg record fetch"

fetch: setup ## fetch and verify the pinned assets (about 145 MB, under a minute)
	@echo "== assets: about 145 MB the first time"
	@python -m dfpg fetch

analyse: setup ## tables, intervals and claims again from the recorded scores (seconds)
	@python -m dfpg analyse

repro: setup ## restore and score again with the recorded weights; FULL=1: every test image
	@python -m dfpg record fetch
	@start=$$SECONDS; python -m dfpg rescore $(if $(FULL),--full,--part); code=$$?; \
		echo "== scored in $$((SECONDS - start)) s"; exit $$code

retrain: fetch ## train from scratch beside the record, RUNS="b4 dfpg_b" or all of them (hours)
	@python -m dfpg retrain $(GRAPH_OPTIONS) $(RUNS)

record: fetch ## train and score what is stale, and keep it in the store (hours)
	@python -m dfpg record make $(GRAPH_OPTIONS)

graph: fetch ## train and score what is stale in dvc.yaml, JOBS runs at a time (hours)
	@python -m dfpg graph $(GRAPH_OPTIONS)

test: setup ## run the tests (4 to 6 minutes on 2 cores)
	@python -m dfpg fetch mobilestylegan
	@# A worker more than cores: some tests wait for processes that they start.
	@echo "== tests: 4 to 6 minutes on 2 cores"
	@OMP_NUM_THREADS=1 python -m pytest -n 3 --dist loadfile --no-loadscope-reorder \
		-m 'not slow and not smoke and not browser'

test-slow: setup ## run the long tests (about an hour); ends with how often what was tried
	@python -m dfpg fetch mobilestylegan
	@counts=$$(mktemp); OMP_NUM_THREADS=1 DFPG_COUNTS=$$counts python -m pytest -m slow; status=$$?; \
		echo "== tried:"; cat $$counts; rm -f $$counts; exit $$status

smoke: setup ## run the whole graph with the smoke profile in a temporary clone (3 to 8 minutes)
	@python -m dfpg fetch
	@python -m pytest -m smoke -s tests/pipeline

pages: setup ## follow the pages of docs/ that a test can follow (2 minutes)
	@python -m dfpg fetch
	@python -m pytest -m smoke tests/docs

browser: setup ## open the report and the documentation in Chromium (2 minutes; needs chromium and chromedriver)
	@OMP_NUM_THREADS=1 python -m pytest -m browser tests/report tests/docs

bench: setup fetch ## measure throughput (8 minutes on 2 cores); results/throughput-*.csv
	@mkdir -p .benchmarks
	@python -m pytest bench --benchmark-only --benchmark-autosave \
		--benchmark-json=.benchmarks/latest.json \
		--benchmark-columns=min,median,max,rounds --override-ini addopts= -rs $(ONLY)
	@python -m bench.throughput .benchmarks/latest.json

bench-gpu: ONLY := -k 'training or metric or dfpgnet-128-16'
bench-gpu: bench ## measure what a GPU session changes: training, batches, DFPGnet, metrics

lint: setup ## ruff, mypy --strict, the order of the packages, dead code
	@python -m ruff check . && python -m ruff format --check . && python -m mypy && lint-imports \
		&& python -m vulture dfpg bench --min-confidence 80

audit: setup ## look for known advisories against the pinned versions, where an index has them
	@python .ci/audit.py

relock: setup ## after an edit of code: enter it into dvc.lock, and say which stages it changes
	@python -m dvc repro --quiet code && python -m dvc status

docs: setup ## build these pages into site/, every link checked (half a minute)
	@NO_MKDOCS_2_WARNING=1 python -m mkdocs build --strict && echo "== docs: site/index.html"

GENERATED := artifacts/generated
SHIPPED := dfpg/commands/deblur/shipped/dfpgnet_128.safetensors
PROCESSES ?= 1
SHARED := python$(if $(filter-out 1,$(PROCESSES)), -m torch.distributed.run --standalone --nproc-per-node $(PROCESSES))

shipped: fetch ## go on training the model that ships, PROCESSES=2 on two cores (an hour; in a clone of its own)
	@python -m dfpg fetch mobilestylegan
	@python -m dfpg profile use shipped && python -m dfpg verify && python -m dfpg kernels
	@test -f $(GENERATED)/faces.csv \
		|| python -m dfpg faces generate --people 300 --seed 1 --out $(GENERATED)
	@test -f artifacts/priors/card.json || python -m dfpg priors
	@test -f artifacts/weights/dfpg_b.safetensors || $(SHARED) -m dfpg.commands.deblur.shipped train $(GENERATED) --from $(SHIPPED)
	@python -m dfpg testsets a && python -m dfpg testsets b
	@python -m dfpg.commands.deblur.shipped measure artifacts/weights/dfpg_b.safetensors

clean: ## remove what can be made again (not .venv, not results)
	rm -rf artifacts scratch site dvc_plots .pytest_cache .mypy_cache .ruff_cache .audit
