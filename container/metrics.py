"""Metrics are lines of the log, which SageMaker's regexes read and `train` records:

    epoch 3/8: train_loss=0.4121; val_acc=0.9312;

A regex such as `val_acc=(.*?);` takes one figure from it. Lines as Keras and Hugging Face's Trainer print them
are understood too, so that a script need not be changed for its curves to be drawn.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
"""

from __future__ import annotations

import ast
import csv
import math
import os
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from container.log import log

HEADER = ("time", "step", "metric", "value")
NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf)"
OURS = re.compile(rf"(?<![\w.])([a-z_][\w./-]*) ?= ?({NUMBER}) ?;", re.IGNORECASE)
KERAS = re.compile(rf" - ([a-z_]\w*): ({NUMBER})(?= |$)", re.IGNORECASE)
# What a step is called, the finest first: a line may name an epoch, and the step within all of them.
STEPS = ("step", "global_step", "update", "iteration", "epoch")
STEP = re.compile(rf"\b({'|'.join(STEPS)})\b[ =:#]*(\d+(?:\.\d+)?)", re.IGNORECASE)
HEADING = re.compile(r"Epoch (\d+)/\d+")  # Keras prints an epoch's number on a line of its own


@dataclass(frozen=True)
class Metrics:
    """What one line tells. `step` is None where the line does not name one."""

    values: Mapping[str, float]
    step: float | None = None


def line(at: str, values: Mapping[str, float]) -> str:
    """A line for the log; `at` says where training stands, such as `epoch 3/8` or `step 1200`. No name should be
    the end of another (`loss`, `val_loss`): a regex for the one would find both."""
    return f"{at}: " + " ".join(f"{name}={value:.6g};" for name, value in values.items())


def parse(text: str) -> Metrics | None:
    """What a line of the log tells, or None. Of a line that a progress bar has written over, the last state."""
    text = re.split("[\r\b]", text.rstrip())[-1]
    if text.startswith("{'"):
        return _parse_trainer(text)
    found = OURS.findall(text) or KERAS.findall(text)
    values = {name: float(value) for name, value in found if name.lower() not in STEPS}
    if not values:
        return None
    steps = {name.lower(): float(number) for name, number in STEP.findall(text)}
    return Metrics(values, next((steps[name] for name in STEPS if name in steps), None))


def _parse_trainer(text: str) -> Metrics | None:
    """Hugging Face's Trainer prints a dictionary: {'loss': 0.52, 'learning_rate': 5e-05, 'epoch': 0.5}."""
    try:
        told = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(told, dict):
        return None
    numbers = {str(name): _number(value) for name, value in told.items()}
    values = {name: value for name, value in numbers.items() if value is not None}
    step = next((values[name] for name in STEPS if name in values), None)
    values = {name: value for name, value in values.items() if name not in STEPS}
    return Metrics(values, step) if values else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None  # newer ones print every number as a text
    try:
        return float(value)
    except ValueError:
        return None


class Recorder:
    """Writes the metrics among a program's lines to the file `path`, a row each: time (Unix, in seconds), step, metric,
    value. A metric without a step gets its own count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._epoch: float | None = None
        self._seen: Counter[str] = Counter()
        self._broken = False

    def note(self, text: str) -> None:
        """One line of the program's output."""
        if self._broken or len(text) < 4:
            return
        heading = HEADING.fullmatch(text.strip())
        if heading:
            self._epoch = float(heading[1])
        metrics = parse(text)
        if metrics:
            self._append(metrics)

    def _append(self, metrics: Metrics) -> None:
        self._seen.update(metrics.values.keys())
        rows = [
            (f"{time.time():.3f}", f"{self._step(name, metrics):.10g}", name, f"{value:.10g}")
            for name, value in metrics.values.items()
        ]
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        try:
            new = not self.path.exists()
            # One write, so that who follows the file finds whole rows.
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, ((",".join(HEADER) + "\n" if new else "") + text.getvalue()).encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            self._broken = True
            log.warning("no more metrics are recorded: cannot write to %s: %s", self.path, error.strerror)

    def _step(self, name: str, metrics: Metrics) -> float:
        if metrics.step is not None:
            return metrics.step
        return self._epoch if self._epoch is not None else self._seen[name]


@dataclass(frozen=True)
class Row:
    """One value of one metric; `time` is Unix's, in seconds."""

    time: float
    step: float
    metric: str
    value: float


def read_rows(text: str) -> list[Row]:
    """The rows of a file that a Recorder has written, or of a part of one; what is no row is left out."""
    rows = []
    for fields in csv.reader(text.splitlines()):
        try:
            at, step, metric, value = fields
            rows.append(Row(float(at), float(step), metric, float(value)))
        except ValueError:  # the heading, or a row that a full disk has cut
            continue
    return [row for row in rows if math.isfinite(row.step)]
