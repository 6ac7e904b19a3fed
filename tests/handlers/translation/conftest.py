"""Fixtures that the tests of translation share: prepared text, and trained models."""

from __future__ import annotations

import fcntl
import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.job import TrainingJob
from byo_container.handlers.translation import sample
from tests.handlers.translation.support import ABLE, PAIRS, SMALL, VALID, MakeJob, finish, make_tree_below

if not importlib.util.find_spec("fairseq"):
    pytest.skip("fairseq is not installed (EXTRAS=news,dev,translation make setup)", allow_module_level=True)

# Processes that share cores get in each other's way, and equal sums need equal threads.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample's sentences."""
    folder = tmp_path_factory.mktemp("plain")
    sample.write(folder, PAIRS, VALID)
    return folder


@pytest.fixture(scope="session")
def ready(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, prepared."""
    from byo_container.handlers.translation.prepare import PrepareOptions, prepare
    from byo_container.handlers.translation.preprocessing import corpus

    text = corpus.find(sorted(plain.iterdir()), "de", "en")
    return prepare(text, tmp_path_factory.mktemp("ready") / "text", PrepareOptions(merges=200)).folder


@pytest.fixture
def make_job(tmp_path: Path, ready: Path) -> MakeJob:
    """Makes a job of a small network on the prepared text, or on `files`."""

    def make(files: Iterable[Path] | None = None, **hyperparameters: object) -> TrainingJob[Any]:
        files = sorted(ready.iterdir()) if files is None else files
        tree = make_tree_below(tmp_path / "ml", files, **{**SMALL, **hyperparameters})
        return TrainingJob.read(tree.paths)

    return make


@pytest.fixture(scope="session")
def trained(ready: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingJob[Any]:
    """A finished job."""
    return finish(tmp_path_factory.mktemp("trained"), ready, **SMALL)


@pytest.fixture(scope="session")
def able(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model folder of a job that went on until it knew the sample's grammar: it translates, and ends its
    sentences. Takes ten seconds, so that processes which run tests side by side share it; nobody writes to it."""
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "able"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "finished").exists():
            sample.write(root / "plain", 1200, VALID)
            finish(root / "ml", root / "plain", **ABLE)
            (root / "finished").touch()
    return root / "ml/model"
