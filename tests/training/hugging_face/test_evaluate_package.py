"""`import evaluate` where it is not installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
from byo_container.training.hugging_face.evaluate_package import StandIn

PREDICTED, TRUE = [0, 1, 1, 0], [0, 1, 0, 0]


def test_the_package_itself_goes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evaluate.py").write_text("load = 'its own'")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, StandIn()])
    monkeypatch.delitem(sys.modules, "evaluate", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("evaluate").load == "its own"
    monkeypatch.delitem(sys.modules, "evaluate")
    assert StandIn().find_spec("other") is None


def test_scores(evaluate: Any) -> None:
    accuracy = evaluate.load("accuracy")
    assert accuracy.compute(predictions=PREDICTED, references=TRUE) == {"accuracy": 0.75}
    both = evaluate.combine(["accuracy", evaluate.load("f1")])
    both.add_batch(predictions=PREDICTED, references=TRUE)
    both.add(prediction=1, reference=1)
    assert both.compute() == {"accuracy": 0.8, "f1": pytest.approx(0.8)}
    with pytest.raises(ValueError, match="'bleu'"):
        evaluate.load("bleu")


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if the package were not installed."""
    monkeypatch.setattr(sys, "meta_path", [StandIn()])
    monkeypatch.delitem(sys.modules, "evaluate", raising=False)
    made = importlib.import_module("evaluate")
    monkeypatch.delitem(sys.modules, "evaluate")
    monkeypatch.undo()
    return made
