"""The channels of a job, read and with their labels numbered alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from byo_container.container.channels import Channel

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Splits:
    """Each data set has the columns `text` (or `input_ids`, where the channel came tokenised) and `label`, a number
    that is an index of `labels`."""

    labels: tuple[str, ...]
    train: Dataset
    validation: Dataset
    """Measured after each epoch; chooses the best checkpoint."""
    test: Dataset | None
    """Measured once, at the end."""


def read(channels: Mapping[str, Channel], seed: int) -> Splits:
    """The channels `train`, `validation` and `test`. Raises JobError that names channel, file and line."""
    from datasets import Dataset

    raw = {}
    for name in ("train", "validation", "test"):
        if name not in channels:
            continue
        lines = [
            line.rsplit(";", 1)
            for path in channels[name].files()
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        raw[name] = {"text": [text for text, _ in lines], "label": [label for _, label in lines]}
    labels = tuple(sorted({label for part in raw.values() for label in part["label"]}))
    parts = {
        name: Dataset.from_dict({"text": part["text"], "label": [labels.index(one) for one in part["label"]]})
        for name, part in raw.items()
    }
    validation = parts.get("validation") or parts["test"]
    return Splits(labels, parts["train"], validation, parts.get("test") if "validation" in parts else None)
