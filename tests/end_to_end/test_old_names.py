"""What was written for older releases, whose packages were called `container` and `handlers`: trained, and served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serving.support.server import Start, servers_below
from tests.support.tree import Tree, write_files

MakeTree = Callable[..., Tree]
OLD_HANDLER = """
from dataclasses import dataclass
from typing import Annotated
from container.checkpoints import Checkpoints
from container.handler import InputError
from container.hyperparameters import Range

class Mine:
    @dataclass(frozen=True)
    class Hyperparameters:
        epochs: Annotated[int, Range(1, 10)] = 1

    def train(self, job):
        Checkpoints(job.checkpoint_dir, ".txt").save(1, lambda path: path.write_text("saved"))
        (job.model_dir / "model").write_text("!" * job.hyperparameters.epochs)

    def load(self, model_dir):
        return (model_dir / "model").read_text()

    def predict(self, model, inputs):
        return [text + model if isinstance(text, str) else InputError("send a text") for text in inputs]
"""


@pytest.fixture
def start() -> Iterator[Start]:
    def no_folder() -> Path:
        raise AssertionError("every test has one already")

    with servers_below(no_folder) as start:
        yield start


def test_a_handler_with_old_imports_is_trained_and_served(ml: MakeTree, start: Start) -> None:
    tree = ml(hyperparameters={"model_handler": "mine:Mine", "epochs": "3"}, code={"mine.py": OLD_HANDLER})
    done = tree.train()
    assert done.status == 0, done.err
    assert "container.checkpoints is an old name" in done.err
    server = start(tree.root, handler="").ready()
    assert server.ask("hello") == "hello!!!"
    refused = server.post(json=7)
    assert (refused.status_code, refused.json()["message"]) == (400, "send a text")
    assert "container.checkpoints is an old name" in server.log()


def test_one_of_many_models_with_old_imports_beside_one_with_a_package_of_that_name(
    tmp_path: Path, start: Start
) -> None:
    root = tmp_path / "ml"
    write_files(
        root,
        {
            "models/old/handler.json": '{"handler": "mine:Mine"}',
            "models/old/model": "!",
            "models/old/code/mine.py": OLD_HANDLER,
            "models/own/handler.json": '{"handler": "mine:Mine"}',
            "models/own/code/container/words.py": "WORD = 'own '",  # without __init__.py
            "models/own/code/mine.py": "from container.words import WORD\n"
            "class Mine:\n"
            "    def load(self, model_dir): return WORD\n"
            "    def predict(self, model, inputs): return [model + text for text in inputs]\n",
        },
    )
    server = start(root, handler="", SAGEMAKER_MULTI_MODEL="true").ready()
    for name, answer in (("old", "hello!"), ("own", "own hello")):
        loaded = server.post("/models", json={"model_name": name, "url": str(root / "models" / name)})
        assert loaded.status_code == 200, loaded.text + server.log()
        assert server.post(f"/models/{name}/invoke", json="hello").json() == answer


def test_a_job_names_an_installed_handler_by_its_old_path(ml: MakeTree) -> None:
    tree = ml(hyperparameters={"model_handler": "handlers.news:NewsClassifier", "epochs": "0"})
    done = tree.train()
    assert done.status != 0
    assert "epochs" in str(done.failure), "the handler's own check of its hyperparameters"
