"""load_metric without the hub."""

from __future__ import annotations

import pytest

pytest.importorskip("sklearn")
from byo_container.training.hugging_face.metrics import load_metric

PREDICTED, TRUE = [0, 1, 1, 0], [0, 1, 0, 0]


def test_scores() -> None:
    assert load_metric("accuracy").compute(predictions=PREDICTED, references=TRUE) == {"accuracy": 0.75}
    macro = load_metric("f1").compute(predictions=PREDICTED, references=TRUE, average="macro")
    assert macro["f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    of_glue = load_metric("glue", "mrpc").compute(predictions=PREDICTED, references=TRUE)
    assert of_glue == {"accuracy": 0.75, "f1": pytest.approx(2 / 3)}


def test_batches_are_added_up_and_forgotten() -> None:
    metric = load_metric("accuracy")
    metric.add_batch(predictions=[0, 1], references=[0, 1])
    metric.add(prediction=1, reference=0)
    assert metric.compute() == {"accuracy": pytest.approx(2 / 3)}
    assert metric.compute(predictions=[1], references=[1]) == {"accuracy": 1.0}


def test_unknown_metric() -> None:
    with pytest.raises(ValueError, match=r"'bleu' is no part of datasets any more, .* accuracy, f1, .* and glue"):
        load_metric("bleu")
