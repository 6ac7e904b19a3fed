"""Whether 8-bit weights are kept beside a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="text classification needs Transformers")
pytest.importorskip("onnxscript")

from byo_container.container.failure import JobError
from byo_container.container.job import read_job
from byo_container.handlers.text_classification import quantization
from byo_container.handlers.text_classification.artifact import INT8
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters
from byo_container.handlers.text_classification.quantization import Finding, open_session
from byo_container.handlers.text_classification.training import int8
from byo_container.handlers.text_classification.training.job import run
from tests.handlers.text_classification.support import lines, make_tree, tiny_model
from tests.support.tree import Tree


@pytest.mark.parametrize(
    ("before", "after", "texts", "enough"),
    [
        (0.92, 0.918, 2000, True),
        (0.92, 0.9175, 2000, False),
        (0.92, 0.93, 2000, True),
        (1.0, 0.9, 10, True),
        (1.0, 0.8, 10, False),
    ],
)
def test_two_in_a_thousand_may_be_lost(before: float, after: float, texts: int, enough: bool) -> None:
    assert int8.is_as_accurate(before, after, texts) is enough


def test_texts_are_taken_from_everywhere() -> None:
    assert int8.spread(5, 10) == [0, 1, 2, 3, 4]
    assert int8.spread(10, 5) == [0, 2, 4, 6, 8]


def trained(root: Path, **hyperparameters: Any) -> Tree:
    channels: dict[str, Any] = {
        "train": lines(48),
        "validation": lines(12, 1000),
        "model": tiny_model("bert", root / "bert"),
    }
    tree = make_tree(root / "ml", channels, epochs=2, learning_rate=0.01, compile="false", **hyperparameters)
    run(read_job(tree.paths).declare(Hyperparameters))
    return tree


def summary(tree: Tree) -> dict[str, object]:
    found: dict[str, object] = json.loads((tree.paths.output_data / "summary.json").read_text())
    return found


def test_a_job_saves_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = trained(tmp_path)
    assert open_session(str(tree.paths.model))[0] is Finding.USABLE
    found = summary(tree)
    assert found["int8"] == "saved"
    assert found["int8_accuracy"] == found["validation_accuracy"]
    assert "with 8-bit weights" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["auto", "true"])
def test_less_accurate_ones_are_kept_only_where_the_job_asks_for_them(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8, "predict", lambda task, found, rows, path: (found.actual[rows] + 1) % 3)
    tree = trained(tmp_path, int8=asked)
    assert (tree.paths.model / INT8).exists() is (asked == "true")
    assert summary(tree)["int8"] == ("saved" if asked == "true" else "not kept")


@pytest.mark.parametrize(
    ("failing", "error", "said"),
    [
        ((quantization, "write"), JobError("no such operator"), "no such operator"),
        ((quantization, "load_session"), IndexError("no such node"), "IndexError: no such node"),
    ],
)
def test_a_job_whose_model_cannot_be_exported_is_done_all_the_same(
    failing: tuple[Any, str],
    error: Exception,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(*failing, fail)
    tree = trained(tmp_path)
    assert "int8" not in summary(tree)
    assert (tree.paths.model / "model.safetensors").is_file()
    assert not (tree.paths.model / INT8).exists()
    assert f"served without 8-bit weights: {said}" in caplog.text


@pytest.mark.parametrize("asked", ["auto", "true"])
def test_without_the_packages(asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "missing_packages", lambda: ["onnxscript"])
    if asked == "true":
        with pytest.raises(JobError, match="int8=true needs onnxscript"):
            trained(tmp_path, int8=asked)
    else:
        assert "int8" not in summary(trained(tmp_path))
