"""`return_all_scores` of Transformers 4's pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
from transformers.pipelines.text_classification import TextClassificationPipeline

from byo_container.serving.models.script import older_pipelines
from tests.handlers.text_classification.support import LABELS, classifier

TEXT = "i feel so happy"


def test_all_scores_in_the_models_order(pipeline: Any) -> None:
    (scores,) = pipeline(return_all_scores=True)(TEXT)
    assert [score["label"] for score in scores] == list(LABELS)
    assert pipeline()(TEXT, return_all_scores=True) == [scores]
    assert pipeline()([TEXT, TEXT], return_all_scores=True) == [scores, scores]
    best = max(scores, key=lambda score: score["score"])
    assert pipeline()(TEXT) == pipeline()(TEXT, return_all_scores=False) == [best]
    assert pipeline(return_all_scores=True)(TEXT, top_k=1) == [best]


def test_pipelines_that_nobody_has_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, TextClassificationPipeline.__module__)
    older_pipelines.provide()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier("bert", tmp_path_factory.mktemp("m") / "model")


@pytest.fixture
def pipeline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from transformers import pipeline

    sanitize = TextClassificationPipeline._sanitize_parameters
    monkeypatch.setattr(TextClassificationPipeline, "_sanitize_parameters", sanitize)
    older_pipelines.provide()
    older_pipelines.provide()
    return lambda **given: pipeline("text-classification", model=str(folder), device=-1, **given)
