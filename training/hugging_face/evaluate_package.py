"""The package evaluate, which has been datasets' `load_metric` since 2022, where it is not installed."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from byo_container.training.hugging_face.metrics import KNOWN, Metric, load_metric
from byo_container.training.hugging_face.notes import say

NAME = "evaluate"


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes the module evaluate; to be put last in sys.meta_path, so that the package itself goes before."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == NAME else None

    def exec_module(self, module: ModuleType) -> None:
        say(f"the package evaluate is not installed: byo-container computes {', '.join(KNOWN)} and glue in its place")
        vars(module).update(load=load_metric, combine=combine, EvaluationModule=Metric)


class Combined:
    """Several metrics of the same predictions."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def add_batch(self, **given: Any) -> None:
        for metric in self._metrics:
            metric.add_batch(**given)

    def add(self, **given: Any) -> None:
        for metric in self._metrics:
            metric.add(**given)

    def compute(self, **given: Any) -> dict[str, Any]:
        return {name: score for metric in self._metrics for name, score in metric.compute(**given).items()}


def combine(evaluations: Sequence[str | Metric], **_: Any) -> Combined:
    """Raises ValueError for a metric that scikit-learn does not have."""
    return Combined([load_metric(each) if isinstance(each, str) else each for each in evaluations])
