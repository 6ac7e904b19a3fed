"""`datasets.load_metric`, and `evaluate.load`, for classification, computed by scikit-learn. What they load is code on
the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Score = Callable[..., Any]
KNOWN = {
    "accuracy": "accuracy_score",
    "f1": "f1_score",
    "precision": "precision_score",
    "recall": "recall_score",
    "matthews_correlation": "matthews_corrcoef",
}
"""Their names in scikit-learn."""


class Metric:
    """A metric of datasets 1: `compute(predictions=…, references=…)` to a dict of scores."""

    def __init__(self, name: str, scores: dict[str, Score]) -> None:
        self.name = name
        self._scores = scores
        self._predictions: list[Any] = []
        self._references: list[Any] = []

    def add_batch(self, *, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        self._predictions += _values(predictions)
        self._references += _values(references)

    def add(self, *, prediction: Any, reference: Any) -> None:
        self.add_batch(predictions=[prediction], references=[reference])

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any]:
        """The scores, of what was added too. `options` are scikit-learn's: average, labels, pos_label, …"""
        if predictions is not None:
            self.add_batch(predictions=predictions, references=references)
        found = {name: score(self._references, self._predictions, **options) for name, score in self._scores.items()}
        self._predictions, self._references = [], []
        return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in found.items()}


def _values(given: Any) -> list[Any]:
    """Of a list, an array or a tensor."""
    return list(given.tolist() if hasattr(given, "tolist") else given)


def load_metric(path: str, config_name: str | None = None, **_: Any) -> Metric:
    """The metric of that name. Raises ValueError for one that scikit-learn does not have."""
    from sklearn import metrics

    scores: dict[str, Score] = {name: getattr(metrics, function) for name, function in KNOWN.items()}
    of_glue = {"cola": ["matthews_correlation"], "mrpc": ["accuracy", "f1"], "qqp": ["accuracy", "f1"]}
    if path == "glue" and config_name != "stsb":
        return Metric(f"glue {config_name}", {n: scores[n] for n in of_glue.get(str(config_name), ["accuracy"])})
    if path not in scores:
        raise ValueError(
            f"the metric {path!r} is no part of datasets any more, and byo-container has {', '.join(KNOWN)} and glue; "
            "compute others by scikit-learn, or by the package evaluate in a requirements.txt"
        )
    return Metric(path, {path: scores[path]})
