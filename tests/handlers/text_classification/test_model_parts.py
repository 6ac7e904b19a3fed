"""What does not belong together is told, rather than served or trained."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.handlers.text_classification import model_parts


class Bert:
    base_model_prefix = "bert"


def info(missing: set[str] | None = None, mismatched: set[Any] | None = None) -> dict[str, Any]:
    return {"missing_keys": missing or set(), "mismatched_keys": mismatched or set()}


HEAD = ("classifier.weight", (3, 16), (4, 16))
POSITIONS = ("bert.embeddings.position_embeddings.weight", (64, 16), (128, 16))


def test_a_new_head_and_a_pooler_may_be_missing_or_of_another_shape() -> None:
    given = info({"classifier.bias", "bert.pooler.dense.weight"}, {HEAD})
    model_parts.check_weights("m", Bert(), given, new_head=True)
    with pytest.raises(JobError, match=r"m: config.json .*: classifier.weight has the shape \(3, 16\) in the weights"):
        model_parts.check_weights("m", Bert(), given)


def test_an_encoder_that_would_be_random_is_refused() -> None:
    with pytest.raises(JobError, match=r"position_embeddings.weight has the shape \(64, 16\) in the we.*\(128"):
        model_parts.check_weights("m", Bert(), info(mismatched={HEAD, POSITIONS}), new_head=True)
    layers = {f"bert.encoder.layer.{layer}.weight" for layer in range(5)}
    with pytest.raises(JobError, match=r"by config.json it is a Bert, and the weights lack bert.*, .* and 2 more"):
        model_parts.check_weights("m", Bert(), info(layers), new_head=True)


@pytest.mark.parametrize("limit", ["many", 17.5, True, [5], math.nan, math.inf, {}])
def test_a_limit_that_is_no_number_of_tokens(limit: Any) -> None:
    with pytest.raises(JobError, match=r"model_max_length in tokenizer_config.json is .*; it should be a whole number"):
        model_parts.whole(limit)


def test_limits_as_transformers_writes_them() -> None:
    assert model_parts.whole(512) == 512
    assert model_parts.whole(1e30) == int(1e30)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: "a", 2: "b"}, "id2label in config.json has the numbers 0, 2; it should have 0 to 1"),
        ({0: "a", 1: {"b": 1}}, "id2label in config.json has {'b': 1} for 1; it should be a name"),
        ({0: "a", 1: "\ud800"}, r"id2label in config.json has '\\ud800' for 1"),
    ],
)
def test_labels_that_are_no_names(names: dict[int, Any], message: str) -> None:
    with pytest.raises(JobError) as refused:
        model_parts.labels_of("m", SimpleNamespace(id2label=names))
    assert message.replace("\\\\", "\\") in str(refused.value)


def test_labels_in_their_order() -> None:
    assert model_parts.labels_of("m", SimpleNamespace(id2label={1: 5, 0: "joy"})) == ["joy", "5"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.1, 0.2, 0.3], r"config.json has 2 labels \(id2label\), and the model computes 3"),
        ([0.1, math.nan], "the model computes nan in place of scores; its weights are damaged"),
        ([-math.inf, 0.1], "the model computes -inf in place of scores"),
    ],
)
def test_what_a_model_computes_must_be_a_score_for_each_label(row: list[float], message: str) -> None:
    model_parts.check_outputs("m", ["a", "b"], [[0.0, 1.0]])
    with pytest.raises(JobError, match=message):
        model_parts.check_outputs("m", ["a", "b"], [[0.0, 1.0], row])
