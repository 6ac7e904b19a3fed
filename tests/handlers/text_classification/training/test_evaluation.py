"""Tables of a finished training."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")

import numpy as np

from byo_container.handlers.text_classification.training import evaluation

SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
ACTUAL = np.array([0, 0, 0, 1])


def test_confusion_has_actual_labels_in_rows() -> None:
    assert evaluation.confusion(SCORES.argmax(axis=1), ACTUAL, 3).tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]


def test_each_label_agrees_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    actual, predicted = generator.integers(0, 5, 300), generator.integers(0, 4, 300)
    found = evaluation.by_label(evaluation.confusion(predicted, actual, 5), list("abcde"))
    expected = metrics.precision_recall_fscore_support(actual, predicted, zero_division=0)
    for name, values in zip(("precision", "recall", "f1", "texts"), expected, strict=True):
        assert [row[name] for row in found] == pytest.approx(values.tolist(), abs=1e-4)


def test_of_many_labels_the_worst_are_shown() -> None:
    counts = np.eye(200, dtype=np.int64) * 5
    counts[150, 3] = 2
    rows = evaluation.by_label(counts, [f"label {number}" for number in range(200)])
    assert len(rows) == evaluation.MAX_LABELS
    assert {row["label"] for row in rows[:2]} == {"label 150", "label 3"}


def test_a_model_that_has_learnt_nothing_is_told_of() -> None:
    always_joy, as_often, better = [[0, 2, 0], [0, 3, 0], [0, 2, 0]], [[2, 0], [2, 0]], [[2, 0], [1, 1]]
    labels = ["fear", "joy", "love"]
    assert "to answer 'joy' to every text" in evaluation.nothing_learnt(np.array(always_joy), labels)
    assert "to answer 'fear' to every text" in evaluation.nothing_learnt(np.array(as_often), labels)
    assert evaluation.nothing_learnt(np.array(better), labels) == ""


def test_mistakes_are_those_of_the_highest_probability() -> None:
    found = evaluation.mistakes(SCORES, ACTUAL)
    assert [(row, mistake.predicted, mistake.actual, mistake.probability) for row, mistake in found] == [
        (1, 1, 0, 0.8),
        (2, 1, 0, 0.6),
    ]
    assert [row for row, _ in evaluation.mistakes(SCORES, ACTUAL, most=1)] == [1]


def test_softmax_stands_large_logits() -> None:
    assert evaluation.softmax(np.array([[1e4, 0.0], [0.0, 0.0]])).tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_long_texts_are_shortened() -> None:
    assert evaluation.shorten("a\n b") == "a b"
    assert evaluation.shorten("x" * 100_000) == "x" * evaluation.MAX_CHARACTERS + "…"
    assert evaluation.shorten(" " * 100_000) == "…"
