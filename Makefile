# make demo    the main job from nothing: set up, train the news classifier, serve it, ask it, stop
# make test    the tests (the quick ones, side by side; `make test-slow` runs the others)
# make check   ruff, ruff format, mypy
# make image   the image byo-container:news, or HANDLERS=none, …; make image-gpu the one for GPUs, …-gpu
# make audit   known weaknesses of what is pinned, from PyPI's advisories
# make setup   only what the others need: .venv with pinned dependencies, and nginx

PYTHON := .venv/bin/python
PYTEST := PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest -q

HANDLERS := news
# Most tests wait for a process most of the time, so twice as many run side by side as there are cores.
JOBS := $(shell expr 2 \* $$(nproc))
comma := ,
TAG = $(subst $(comma),-,$(HANDLERS))
BUILD_ARGS = --build-arg HANDLERS=$(HANDLERS) --build-arg REVISION=$(shell git rev-parse HEAD)

.PHONY: demo bytecode test test-slow check image image-gpu audit format setup clean

demo: setup
	tools/demo.sh

# Thousands of processes are started: none compiles our modules again. schemathesis has only slow tests.
bytecode: setup
	@$(PYTHON) -m compileall -q byo_container container handlers local_test serving training

test: bytecode
	$(PYTEST) -m "not slow and not docker" -p no:schemathesis -n $(JOBS) --dist loadfile

test-slow: bytecode
	$(PYTEST) -m "slow or docker"

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

image:
	docker build -f Dockerfile.cpu -t byo-container:$(TAG) $(BUILD_ARGS) .

image-gpu:
	docker build -f Dockerfile.gpu -t byo-container:$(TAG)-gpu $(BUILD_ARGS) .

audit: setup
	tools/audit.sh

format: setup
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

setup: .venv/.ready
	@tools/nginx.sh

.venv/.ready: pyproject.toml constraints.txt tools/venv.sh
	tools/venv.sh
	touch $@

clean:
	rm -rf .venv build *.egg-info local_test/test_dir/model* local_test/test_dir/output local_test/test_dir/hosts \
		local_test/test_dir/uploaded local_test/test_dir/checkpoints
