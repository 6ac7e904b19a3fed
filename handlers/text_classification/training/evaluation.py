"""How good the model is, label by label, and where it is wrong: for the log, summary.json, the pictures and the report.

Measured on the channel `test`, or without it on the validation texts, which have chosen the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from byo_container.container.files.atomic import write_atomically
from byo_container.container.files.disk_errors import disk_errors_explained
from byo_container.container.metrics import line
from byo_container.container.progress import say
from byo_container.handlers.text_classification.training import plots
from byo_container.handlers.text_classification.training.task import Task
from byo_container.handlers.text_classification.training.trainer import evaluation_order

if TYPE_CHECKING:
    from datasets import Dataset

FILE = "summary.json"
MISTAKES = 30
MAX_LABELS = 100
"""Labels in the table of summary.json; of more labels those of the lowest F1."""
MAX_CHARACTERS = 300
"""Of a text in the table of mistakes."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """A model on the texts of a split, in the order in which they were evaluated."""

    split: str
    data: Dataset
    metrics: Mapping[str, float]
    """loss, accuracy and f1."""
    scores: Floats
    """(texts, labels): probabilities."""
    actual: Ints
    """(texts,): labels by number."""

    @cached_property
    def order(self) -> Sequence[int]:
        """The rows of `data`."""
        return evaluation_order(self.data)


def measure(trainer: Any, task: Task) -> Measured:
    """Every rank has to call it."""
    split, data = ("test", task.test) if task.test is not None else ("validation", task.validation)
    found = trainer.predict(data, metric_key_prefix=split)
    logits = found.predictions[0] if isinstance(found.predictions, tuple) else found.predictions
    return Measured(
        split=split,
        data=data,
        metrics={name: found.metrics[f"{split}_{name}"] for name in ("loss", "accuracy", "f1")},
        scores=softmax(logits),
        actual=np.asarray(found.label_ids, np.int64),
    )


def write(found: Measured, task: Task, log_history: Sequence[dict[str, Any]], account: Mapping[str, Any]) -> None:
    """Writes summary.json, `account` in it, and the pictures. Raises JobError where they cannot be written."""
    if found.split == "test":
        say(line("test", {f"test_{name}": value for name, value in found.metrics.items()}))
    counts = confusion(found.scores.argmax(axis=1), found.actual, len(task.labels))
    if warning := nothing_learnt(counts, task.labels):
        say(f"{warning}: a longer training, or another learning_rate (now {task.chosen.learning_rate:g}), may help")
    texts = _Texts(task, found.split, found.data)
    wrong = mistakes(found.scores, found.actual)
    values = {
        **{f"{found.split}_{name}": round(float(value), 4) for name, value in found.metrics.items()},
        "training_texts": len(task.train),
        f"{found.split}_texts": len(found.data),
        "precision": task.precision.name,
        **account,
        "labels": by_label(counts, task.labels),
        "most_confident_mistakes": [texts.row(found.order[row], mistake) for row, mistake in wrong],
    }
    folder = task.job.output_data_dir
    with disk_errors_explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FILE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        plots.draw(log_history, counts, task.labels, found.split, folder)


def softmax(logits: Any) -> Floats:
    """(rows, labels): probabilities."""
    powers = np.exp(logits - np.max(logits, axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def confusion(predicted: npt.NDArray[Any], actual: npt.NDArray[Any], size: int) -> Ints:
    """(size, size): the number of texts of label `row` that were classified as label `column`."""
    return np.bincount(actual * size + predicted, minlength=size * size).reshape(size, size)


def nothing_learnt(counts: Ints, labels: Sequence[str]) -> str:
    """A clause for the log where the most frequent label by itself would be right as often; else empty."""
    frequent = int(counts.sum(axis=1).argmax())
    if counts.trace() > counts[frequent].sum():
        return ""
    return f"warning: the model is no better than to answer {labels[frequent]!r} to every text"


def by_label(counts: Ints, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each label, 0 where they are undefined; the labels in their order, or of more than
    MAX_LABELS those of the lowest F1."""
    right = counts.diagonal()
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    rows = [
        {
            "label": label,
            "precision": _share(right[number], predicted[number]),
            "recall": _share(right[number], actual[number]),
            "f1": _share(2 * right[number], predicted[number] + actual[number]),
            "texts": int(actual[number]),
        }
        for number, label in enumerate(labels)
    ]
    if len(rows) <= MAX_LABELS:
        return rows
    return sorted(rows, key=lambda row: (row["texts"] == 0, row["f1"]))[:MAX_LABELS]


def _share(part: Any, whole: Any) -> float:
    return round(float(part / whole), 4) if whole else 0.0


@dataclass(frozen=True)
class Mistake:
    """Labels by number."""

    predicted: int
    actual: int
    probability: float
    """Of the predicted label."""


def mistakes(scores: Floats, actual: Ints, most: int = MISTAKES) -> list[tuple[int, Mistake]]:
    """The rows of the wrong predictions that have the highest probability, highest first."""
    predicted, sure = scores.argmax(axis=1), scores.max(axis=1)
    wrong = np.flatnonzero(predicted != actual)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    return [(int(row), Mistake(int(predicted[row]), int(actual[row]), float(sure[row]))) for row in worst]


class _Texts:
    """The texts of a split, which came as texts or as token ids."""

    def __init__(self, task: Task, split: str, tokenised: Dataset) -> None:
        self._task, self._tokenised = task, tokenised
        self._given = task.texts.get(split)

    def row(self, number: int, found: Mistake) -> dict[str, Any]:
        """A row of the table of mistakes."""
        labels = self._task.labels
        return {
            "text": shorten(self._text(number)),
            "label": labels[found.actual],
            "predicted": labels[found.predicted],
            "probability": round(found.probability, 4),
        }

    def _text(self, number: int) -> str:
        if self._given is not None and "text" in self._given.column_names:
            return str(self._given[number]["text"])
        ids = self._tokenised[number]["input_ids"]
        return str(self._task.tokenizer.decode(ids, skip_special_tokens=True))


def shorten(text: str) -> str:
    """At most MAX_CHARACTERS of it, on one line."""
    flat = " ".join(text[: 4 * MAX_CHARACTERS].split())
    return flat if len(flat) <= MAX_CHARACTERS and len(text) <= 4 * MAX_CHARACTERS else flat[:MAX_CHARACTERS] + "…"
