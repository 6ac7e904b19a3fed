"""The channels of a job, read and with their labels numbered alike."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from byo_container.container.channels import Channel
from byo_container.container.failure import JobError
from byo_container.container.progress import say
from byo_container.handlers.text_classification.preprocessing import labels, reading, saved_datasets
from byo_container.handlers.text_classification.preprocessing.rows import LABEL, ROW, Rows, Tell, listed
from byo_container.handlers.text_classification.pretrained import CHANNEL as MODEL

if TYPE_CHECKING:
    from datasets import Dataset

NAMES = ("train", "validation", "test")
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Splits:
    """Each data set has the columns `text` (or `input_ids`, where the channel came tokenised; or both), `label`, a
    number that is an index of `labels`, and `row`, counted from 1 in its channel."""

    labels: tuple[str, ...]
    train: Dataset
    validation: Dataset
    """Measured after each epoch; chooses the best checkpoint."""
    test: Dataset | None
    """Measured once, at the end."""


def read(channels: Mapping[str, Channel], seed: int, quiet: bool = False) -> Splits:
    """The channels `train`, `validation` and `test`, of which only the first is needed. Nothing is written into the
    channels, and nothing into the log where `quiet`. Raises JobError that names channel, file and line or row."""
    tell = _silent if quiet else say
    parts = _read_all(_by_purpose(channels, tell), tell)
    names, numbers = labels.number(parts, tell)
    data = {channel: _labelled(rows, numbers[channel]) for channel, rows in parts.items()}
    if "validation" in data:
        return Splits(names, data["train"], data["validation"], data.get("test"))
    if "test" in data:
        return Splits(names, data["train"], data["test"], None)
    kept, held_out = hold_out(numbers["train"], seed)
    tell(
        f"no channel 'validation' or 'test': {len(held_out):,} of {len(numbers['train']):,} rows of 'train', a tenth "
        "of each label, are held out for validation"
    )
    train = data["train"]
    return Splits(names, train.select(kept), train.select(held_out), None)


def _by_purpose(channels: Mapping[str, Channel], tell: Tell) -> dict[str, Channel]:
    """The channels by those names of NAMES that they stand for: `fit` of SageMaker's SDK calls a single one `training`.
    Raises JobError where there are no texts to train on."""
    found: dict[str, Channel] = {}
    others = set(channels) - {MODEL}
    for name, known in saved_datasets.SPLITS.items():
        given = next((each for each in known if each in channels), None)
        if given is not None:
            found[name] = channels[given]
            others.discard(given)
            if given != name:
                tell(f"the channel {given!r} is taken for {name!r}")
    if "train" not in found:
        there = ", ".join(sorted(channels)) or "none"
        raise JobError(f"this job needs a channel 'train', with texts and labels; its channels are: {there}")
    if others:
        tell(f"not read: channel {listed(sorted(others))}; those of texts are {', '.join(NAMES)}")
    return found


def _read_all(channels: Mapping[str, Channel], tell: Tell) -> dict[str, Rows]:
    """The rows of the channels; where `train` is a dictionary of splits, the others may come from it too."""
    parts = {name: reading.read(channels[name]) for name in NAMES if name in channels}
    train = channels["train"]
    folder = saved_datasets.find(train.files(), train.name)
    splits = saved_datasets.split_names(folder) if folder else None
    for name in NAMES[1:]:
        within = next((split for split in saved_datasets.SPLITS[name] if split in (splits or ())), None)
        if folder and within and name not in channels:
            tell(f"channel 'train' is a dictionary of splits: its {within} is the channel {name!r} too")
            parts[name] = replace(reading.read_saved(folder / within, name), channel=name)
    return parts


def _labelled(rows: Rows, numbers: Sequence[int]) -> Dataset:
    from datasets import Dataset, concatenate_datasets

    return concatenate_datasets(
        [rows.data, Dataset.from_dict({LABEL: numbers, ROW: range(1, len(numbers) + 1)})], axis=1
    )


def _silent(_: str) -> None:
    pass


def hold_out(numbers: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Row numbers, in order: those to train on, and a tenth of each label's rows for validation, drawn by `seed`. A
    label keeps a row to train on. Raises JobError where there are too few rows."""
    dice = random.Random(seed)  # noqa: S311  repeatable, not secret
    by_label: dict[int, list[int]] = {}
    for row, label in enumerate(numbers):
        by_label.setdefault(label, []).append(row)
    chosen: set[int] = set()
    for label in sorted(by_label):
        rows = by_label[label]
        # At least one of each label, but for a label that has a single row.
        chosen |= set(dice.sample(rows, min(len(rows) - 1, max(1, round(len(rows) * HELD_OUT_SHARE)))))
    if not chosen:
        raise JobError(
            "channel 'train' has one row for each label, so none can be held out for validation; bring more rows, or a "
            "channel 'validation'"
        )
    return [row for row in range(len(numbers)) if row not in chosen], sorted(chosen)
