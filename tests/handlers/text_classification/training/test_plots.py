"""Pictures of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

import numpy as np

from byo_container.handlers.text_classification.training import plots

HISTORY = [
    {"loss": 1.0, "step": 1, "epoch": 0.5},
    {"loss": 0.8, "step": 2, "epoch": 1.0},
    {"eval_loss": 0.7, "eval_accuracy": 0.6, "eval_f1": 0.5, "step": 2, "epoch": 1.0},
]


def test_curves_follow_from_the_history() -> None:
    found = plots.curves_of(HISTORY)
    assert found["loss"] == [(0.5, 1.0), (1.0, 0.8)]
    assert found["eval_f1"] == [(1.0, 0.5)]


def test_of_many_labels_the_most_confused_keep_their_place() -> None:
    counts = np.diag(np.arange(200))
    counts[150, 3] = 7
    small, names = plots.limit(counts, [f"label {number}" for number in range(200)], most=5)
    assert names == ["label 0", "label 1", "label 3", "label 150", plots.REST]
    assert small.sum() == counts.sum()
    assert small[3, 2] == 7
    assert small[4, 4] == counts.sum() - 7 - 0 - 1 - 3 - 150


def test_few_labels_are_all_shown() -> None:
    counts = np.eye(3, dtype=np.int64)
    assert plots.limit(counts, ["a", "b", "c" * 100])[1] == ["a", "b", "c" * 23 + "…"]


@pytest.mark.parametrize("size", [2, 200])
@pytest.mark.parametrize("history", [[], HISTORY])
def test_pictures_are_drawn(tmp_path: Path, size: int, history: list[dict[str, float]]) -> None:
    plots.draw(history, np.eye(size, dtype=np.int64), ["$x_{$"] * size, "test", tmp_path)
    for name in ("curves.png", "confusion_matrix.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG")
        assert 3_000 < len(data) < 500_000
