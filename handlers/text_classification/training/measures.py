"""Accuracy and F1 of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def of_predictions(found: Any) -> dict[str, float]:
    """For the Trainer's `compute_metrics`: `found` has logits (rows, labels) and label_ids (rows,)."""
    logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
    predicted = np.asarray(logits).argmax(-1)
    actual = np.asarray(found.label_ids)
    return {"accuracy": float((predicted == actual).mean()), "f1": macro_f1(predicted, actual)}


def macro_f1(predicted: npt.NDArray[Any], actual: npt.NDArray[Any]) -> float:
    """The mean F1 of the labels that occur, in either: scikit-learn's f1_score(average="macro")."""
    scores = []
    for label in np.union1d(predicted, actual):
        right = float(((predicted == label) & (actual == label)).sum())
        scores.append(2 * right / float((predicted == label).sum() + (actual == label).sum()))
    return float(np.mean(scores))
