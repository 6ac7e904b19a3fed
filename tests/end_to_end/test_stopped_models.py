"""A job that was stopped leaves a model that `serve` can load, as a finished job does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from byo_container.handlers.news import sample as headlines
from tests.serving.support.server import Start, servers_below
from tests.support.processes import wait_until
from tests.support.tree import Tree

MakeTree = Callable[..., Tree]

HANDLER = """
import time
from byo_container.container.failure import JobStopped

class Mine:
    def train(self, job):
        try:
            (job.output_data_dir / "ready").touch()
            time.sleep(60)
        except JobStopped:
            SAVES
            raise

    def load(self, model_dir):
        return (model_dir / "saved").read_text()

    def predict(self, model, inputs):
        return [model] * len(inputs)
"""
SAVES = '(job.model_dir / "saved").write_text("so far")'
SCRIPT = """
import os, signal, sys, time

def save(*_):
    open(os.environ["SM_MODEL_DIR"] + "/saved", "w").write("so far")
    sys.exit(143)

signal.signal(signal.SIGTERM, save)
open(os.environ["SM_OUTPUT_DATA_DIR"] + "/ready", "w")
time.sleep(60)
"""
SERVES = """
def model_fn(model_dir):
    return open(model_dir + "/saved").read()

def predict_fn(data, model):
    return model
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with servers_below(lambda: tmp_path / "endpoint") as start:
        yield start


@pytest.mark.parametrize("kind", ["handler", "script"])
def test_stopped_model_of_a_users_handler_is_served(ml: MakeTree, start: Start, tmp_path: Path, kind: str) -> None:
    if kind == "handler":
        tree = ml(hyperparameters={"model_handler": "mine:Mine"}, code={"mine.py": HANDLER.replace("SAVES", SAVES)})
    else:
        tree = ml(code={"train.py": SCRIPT, "inference.py": SERVES})
    process = tree.start()
    wait_until((tree.paths.output_data / "ready").exists, "the training code to be ready")
    process.terminate()
    done = tree.finish(process)
    assert done.status == 143, done.err
    assert f"not finished; the model is in {tree.paths.model}" in done.err
    shutil.copytree(tree.paths.model, tmp_path / "endpoint/model")
    assert start(tmp_path / "endpoint", MODEL_HANDLER="").ready().ask("x") == "so far"


def test_a_job_that_left_nothing_is_not_made_to_look_like_a_model(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"model_handler": "mine:Mine"}, code={"mine.py": HANDLER.replace("SAVES", "pass")})
    tree.paths.model.mkdir()
    (tree.paths.model / "saved").write_text("by an older job, of another handler")
    process = tree.start()
    wait_until((tree.paths.output_data / "ready").exists, "the training code to be ready")
    process.terminate()
    assert tree.finish(process).status == 143
    assert [path.name for path in tree.paths.model.iterdir()] == ["saved"]


@pytest.mark.slow
def test_stopped_model_of_the_news_handler_is_served(ml: MakeTree, start: Start, tmp_path: Path) -> None:
    settings = {"model_handler": "news", "epochs": "1000", "vocabulary_size": "4096"}
    tree = ml(hyperparameters=settings, channels={"training": {}})
    headlines.write(tree.paths.data / "training/newsCorpora.csv", rows=400)
    process = tree.start()
    wait_until(lambda: epochs(tree) >= 5 or process.poll() is not None, "five epochs", 120)
    process.terminate()
    done = tree.finish(process, 120)
    assert done.status == 143, done.err
    shutil.copytree(tree.paths.model, tmp_path / "endpoint/model")
    server = start(tmp_path / "endpoint", MODEL_HANDLER="").ready(timeout_s=120)
    question = "Stocks fall on inflation fears"
    assert server.ask(question) == {"result": "Business"}
    for kind in ("text/plain", "text/csv"):  # a column of texts is no table
        answer = server.post(data=f"{question}\n", headers={"Content-Type": kind})
        assert answer.json() == [{"result": "Business"}]


def epochs(tree: Tree) -> int:
    """How many have been recorded."""
    metrics = tree.paths.metrics
    return metrics.read_text().count("val_acc") if metrics.exists() else 0
