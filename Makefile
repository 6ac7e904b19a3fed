# make demo    the main job from nothing: set up, train the news classifier, serve it, ask it, stop
# make test    the tests (the quick ones; `make test-slow` runs the others)
# make check   ruff, ruff format, mypy
# make setup   only what the others need: .venv with pinned dependencies, and nginx

PYTHON := .venv/bin/python

.PHONY: demo test test-slow check format setup clean

demo: setup
	tools/demo.sh

test: setup
	$(PYTHON) -m pytest -q -m "not slow"

test-slow: setup
	$(PYTHON) -m pytest -q -m slow

check: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: setup
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

setup: .venv/.ready
	@tools/nginx.sh

.venv/.ready: pyproject.toml constraints.txt tools/venv.sh
	tools/venv.sh
	touch $@

clean:
	rm -rf .venv build *.egg-info local_test/test_dir/model* local_test/test_dir/output
