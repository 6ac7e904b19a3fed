"""Several ranks, started by `train`: they share the rows, and one of them writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from tests.handlers.text_classification.support import lines, make_tree, tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("launcher", ["torchrun", "mpi"])
def test_two_ranks_train_one_model_and_go_on_where_they_stopped(launcher: str, tmp_path: Path) -> None:
    if launcher == "mpi" and not shutil.which("mpirun"):
        pytest.skip("Open MPI is not installed")
    model = tiny_model("bert", tmp_path / "model")
    channels: dict[str, list[str] | Path] = {"train": lines(48), "validation": lines(13, 1000), "model": model}
    given: dict[str, Any] = {
        "launcher": launcher,
        "processes_per_host": 2,
        "train_batch_size": 4,
        "learning_rate": 0.01,
    }
    tree = make_tree(tmp_path / "ml", channels, epochs=1, compile="false", int8="false", **given)
    first = tree.finish(tree.start(), 180)
    assert first.status == 0, first.err
    assert first.out.count("epoch 1/1: train_loss=1.") == 1  # ln 3: the mean of both ranks, and not their sum
    assert len(list((tree.paths.checkpoints / "checkpoint-6").glob("rng_state_*.pth"))) == 2
    tree.paths.hyperparameters.write_text(
        tree.paths.hyperparameters.read_text().replace('"epochs": "1"', '"epochs": "2"')
    )
    second = tree.finish(tree.start(), 180)
    assert second.status == 0, second.err
    assert "going on after step 6 of 12" in second.out
    assert second.out.count("epoch 2/2: ") == 1
