"""Metrics are lines of the log, which SageMaker matches with regular expressions and `train` records:

    epoch 3/8: train_loss=0.4121; val_acc=0.9312;

A regex such as `val_acc=(.*?);` extracts one value. The lines that Keras and Hugging Face's Trainer print are
understood too, so that the metrics of a script are recorded without changing it.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/define-train-metrics.html
"""

from __future__ import annotations

import ast
import contextlib
import csv
import errno
import math
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from byo_container.container.log import log
from byo_container.container.process.output import LONGEST_LINE

HEADER = ("time", "step", "metric", "value")
MOST_NAMES = 1000  # of metrics: names that contain a counter would fill memory and disk
ALL_OF = 100_000  # values of a metric are recorded; of further ones every 10th
MOST_STEP = 2.0**63  # what TensorBoard can hold
NUMBER = r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?|nan|inf)"
OURS = re.compile(rf"(?<![\w.])([a-z_][\w./-]*) ?= ?({NUMBER}) ?;", re.IGNORECASE)
KERAS = re.compile(rf" - ([a-z_]\w*): ({NUMBER})(?= |$)", re.IGNORECASE)
# The names of a step, the finest first: a line may have an epoch and a global step.
STEPS = ("step", "global_step", "update", "iteration", "epoch")
# Each pattern begins with a literal, for which `re` is fast; that no letter precedes it is checked afterwards.
STEP = {name: re.compile(rf"{name}(?<!\w{name})\b[ =:#]*([0-9]+(?:\.[0-9]+)?)") for name in STEPS}
HEADING = re.compile(r"Epoch ([0-9]+)/[0-9]+")  # Keras prints an epoch's number on a line of its own
# Every line with metrics matches one of these. Each begins with a literal, which `re` finds at 1 GB/s.
SIGNS = (
    re.compile(rb"= ?[-+.0-9inIN][\w.+-]* ?;"),
    re.compile(rb" - [^\s:]+: [-+.0-9inIN]"),
    re.compile(rb"\{'"),
    re.compile(rb"Epoch [0-9]+/[0-9]"),
)
# Hugging Face's Trainer adds the epoch where it is known. Other dictionaries, such as a configuration, have none of
# these keys.
TRAINER = re.compile(r"epoch|loss|\w+_(loss|runtime)")


@dataclass(frozen=True)
class Metrics:
    """The metrics of one line. `step` is None where the line has none."""

    values: Mapping[str, float]
    step: float | None = None


def line(at: str, values: Mapping[str, float]) -> str:
    """A line for the log. `at` is the progress of the training, such as `epoch 3/8` or `step 1200`. No name should be
    the end of another one (`loss`, `val_loss`): a regex for the first would match both."""
    return f"{at}: " + " ".join(f"{name}={value:.6g};" for name, value in values.items())


def candidates(lines: bytes) -> list[str]:
    """The lines that may contain metrics, in their order, each cut to its last LONGEST_LINE bytes."""
    spans = sorted({span for sign in SIGNS for span in _lines_with(sign, lines)})
    return [lines[max(start, end - LONGEST_LINE) : end].decode("utf-8", "replace") for start, end in spans]


def _lines_with(sign: re.Pattern[bytes], lines: bytes) -> Iterator[tuple[int, int]]:
    """The start and the end of each line that matches `sign`."""
    at = 0
    while match := sign.search(lines, at):
        start = lines.rfind(b"\n", at, match.start()) + 1 or at
        end = lines.find(b"\n", match.start())
        at = end + 1 or len(lines)
        yield start, at - (end >= 0)


def parse(text: str) -> Metrics | None:
    """The metrics in a line of the log, or None. Of a line of a progress bar the last state counts."""
    text = text.rstrip()
    if "\r" in text or "\b" in text:
        text = re.split("[\r\b]", text)[-1]
    if text.startswith("{'"):
        return _parse_trainer(text)
    pairs = OURS.findall(text) or KERAS.findall(text)
    values = {name: float(value) for name, value in pairs if name.lower() not in STEPS}
    if not values:
        return None
    return Metrics(values, _step_in(text.lower()))


def _step_in(text: str) -> float | None:
    for pattern in STEP.values():
        if steps := pattern.findall(text):
            return float(steps[-1])
    return None


def _parse_trainer(text: str) -> Metrics | None:
    """Hugging Face's Trainer prints a dictionary: {'loss': 0.52, 'learning_rate': 5e-05, 'epoch': 0.5}. Returns None
    for other dictionaries."""
    try:
        printed = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None
    if not isinstance(printed, dict):
        return None
    # Not str(name): a number of over 4,300 digits has no decimal form (sys.set_int_max_str_digits).
    numbers = {name: _number(value) for name, value in printed.items() if isinstance(name, str)}
    values = {name: value for name, value in numbers.items() if value is not None}
    if not any(TRAINER.fullmatch(name) for name in values):
        return None
    step = next((values[name] for name in STEPS if name in values), None)
    values = {name: value for name, value in values.items() if name not in STEPS}
    return Metrics(values, step) if values else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None  # newer ones print every number as a text
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def is_kept(count: int, all_of: int) -> bool:
    """Whether the `count`-th value of a metric (from 1) is kept: the first `all_of` are, then every 10th until there
    are ten times as many, then every 100th, and so on."""
    stride = 1
    while count > all_of:
        all_of *= 10
        stride *= 10
    return count % stride == 0


class Row(NamedTuple):
    """One value of one metric; `time` is Unix's, in seconds."""

    time: float
    step: float
    metric: str
    value: float


class Allowance:
    """A budget of CPU time: `at_once_s` at first, and later the part `share` of the time that passes."""

    def __init__(self, at_once_s: float, share: float) -> None:
        self._at_once_s, self._share = at_once_s, share
        self._left_s, self._at = at_once_s, time.monotonic()

    def spent(self) -> bool:
        """Whether the budget is used up for now."""
        now = time.monotonic()
        self._left_s = min(self._at_once_s, self._left_s + self._share * (now - self._at))
        self._at = now
        return self._left_s <= 0

    @contextlib.contextmanager
    def spend(self) -> Iterator[None]:
        """Counts the CPU time of the block."""
        begun = time.process_time()
        yield
        self._left_s -= time.process_time() - begun


class Recorder:
    """Finds metrics in a program's output and appends a row for each to the file `path`: time (Unix, in seconds), step,
    metric, value. The step of a metric without one is the number of its values so far.

    Of each metric the first ALL_OF values are recorded, then every 10th (see `is_kept`), and the last one; and at most
    MOST_NAMES metrics. The program is not slowed down: if it prints metrics faster than they can be read, some are left
    out and a warning is logged.
    """

    def __init__(self, path: Path, allowance: Allowance | None = None) -> None:
        self.path = path
        self._allowance = allowance or Allowance(at_once_s=1.0, share=0.1)
        self._epoch: float | None = None
        self._seen: Counter[str] = Counter()
        self._last: dict[str, str] = {}  # rows of metrics whose last value is not in the file
        self._skipped = b""  # the last lines that were left out
        self._warned: set[str] = set()
        self._broken = False

    def note(self, lines: bytes) -> None:
        """Takes whole lines of the program's output, many at once; b"" at its end. Raises nothing, for a line that
        cannot be recorded must not end the training."""
        if self._broken:
            return
        try:
            self._record(lines)
        except Exception as error:
            self._broken = True
            log.warning("no more metrics are recorded: %s: %s", type(error).__name__, error)

    def _record(self, lines: bytes) -> None:
        if lines and self._allowance.spent():
            if any(sign.search(lines) for sign in SIGNS):
                self._skipped = lines
                self._warn("metrics are printed faster than they can be recorded; a part of them is left out")
            return
        with self._allowance.spend():
            rows = self._rows_of(lines or self._skipped)
            if not lines:  # how it ended matters most
                rows, self._last, self._skipped = [*rows, *self._last.values()], {}, b""
            if rows:
                self._append("".join(rows))

    def _rows_of(self, lines: bytes) -> list[str]:
        now, rows = f"{time.time():.3f}", []
        for text in candidates(lines):
            if heading := HEADING.fullmatch(text.strip()):
                self._epoch = float(heading[1])
            metrics = parse(text)
            for name, value in metrics.values.items() if metrics else ():
                if name not in self._seen and len(self._seen) >= MOST_NAMES:
                    self._warn(f"there are more than {MOST_NAMES:,} metrics; no new ones are recorded")
                    continue
                self._seen[name] += 1
                row = f"{now},{self._step(name, metrics):.10g},{_quoted(name)},{value:.10g}\n"
                if is_kept(self._seen[name], ALL_OF):
                    rows.append(row)
                    self._last.pop(name, None)
                else:
                    self._last[name] = row
        return rows

    def _step(self, name: str, metrics: Metrics | None) -> float:
        if metrics and metrics.step is not None:
            return metrics.step
        return self._epoch if self._epoch is not None else self._seen[name]

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)

    def _append(self, rows: str) -> None:
        try:
            # The script may have made a FIFO of this name, whose reader this would wait for, or a link to elsewhere.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o644)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise OSError(errno.EINVAL, "it is no regular file")
                # One write, so that a program that follows the file reads whole rows.
                data = ((",".join(HEADER) + "\n" if status.st_size == 0 else "") + rows).encode()
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            self._broken = True
            log.warning("no more metrics are recorded: cannot write to %s: %s", self.path, error.strerror)


def _quoted(name: str) -> str:
    """A metric's name as a field of CSV."""
    if "," not in name and '"' not in name and name.isprintable():
        return name
    return '"' + "".join(c if c.isprintable() else "?" for c in name).replace('"', '""') + '"'


def read_rows(text: str) -> list[Row]:
    """The rows in a file of a Recorder, or in a part of one. Anything else is skipped."""
    rows = []
    for line in text.split("\n"):
        try:
            # Each line is parsed on its own: one that a full disk has cut off must not spoil the next ones.
            at, step, metric, value = next(csv.reader([line])) if '"' in line else line.split(",")
            row = Row(float(at), float(step), metric, float(value))
        except (ValueError, csv.Error):  # the header, or half a row
            continue
        if math.isfinite(row.time) and abs(row.step) < MOST_STEP:
            rows.append(row)
    return rows
