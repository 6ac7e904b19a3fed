"""Logits → scores, as Transformers' text-classification pipeline computes them."""

from __future__ import annotations

import math
from typing import Any


def default_function(config: Any) -> str:
    """What is applied to the logits of a model where a request does not say."""
    if config.problem_type == "regression":
        return "none"
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return "sigmoid"
    return "softmax"


def apply(function: str, logits: list[float]) -> list[float]:
    """`softmax`, `sigmoid`, or `none` for the logits themselves."""
    if function == "none":
        return logits
    if function == "sigmoid":
        return [_sigmoid(logit) for logit in logits]
    top = max(logits)
    powers = [math.exp(logit - top) for logit in logits]
    total = sum(powers)
    return [power / total for power in powers]


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    power = math.exp(logit)
    return power / (1 + power)
