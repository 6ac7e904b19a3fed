"""The metrics of a job: lines of the log, from the entries in the log_history of the Trainer's state.

    step 120/2668: batch_loss=0.4121; learning_rate=2.9e-05; samples_per_second=81.2; 7 min left
    epoch 1/4: train_loss=0.8121; eval_loss=0.3912; eval_accuracy=0.901; eval_f1=0.874;

An entry of training has `loss`, the mean since the entry before, and one of evaluation `eval_loss`; both have `step`
and `epoch`. The state is saved with each checkpoint, so that a resumed job knows the metrics of its past.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from byo_container.container.metrics import line

Entry = Mapping[str, Any]
EVALUATION = ("eval_loss", "eval_accuracy", "eval_f1")


def epoch_line(history: Sequence[Entry], index: int, epochs: int) -> str:
    """The line for the evaluation history[index]."""
    entry = history[index]
    values = {name: float(entry[name]) for name in EVALUATION if name in entry}
    loss = train_loss(history[:index])
    if loss is not None:
        values = {"train_loss": loss, **values}
    return line(f"epoch {_rounded(entry['epoch'])}/{epochs}", values)


def epoch_lines(history: Sequence[Entry], epochs: int) -> list[str]:
    """The lines of all evaluations so far."""
    return [epoch_line(history, index, epochs) for index, entry in enumerate(history) if "eval_loss" in entry]


def train_loss(history: Sequence[Entry]) -> float | None:
    """The mean loss of a training step since the last evaluation in `history`; None without a step."""
    total, steps, before = 0.0, 0, 0
    for entry in history:
        if "eval_loss" in entry:
            total, steps = 0.0, 0
        elif "loss" in entry:
            count = int(entry["step"]) - before
            total, steps, before = total + float(entry["loss"]) * count, steps + count, int(entry["step"])
    return total / steps if steps else None


def step_line(step: int, steps: int, values: Mapping[str, float], seconds_left: float) -> str:
    """The line of progress after `step` of `steps`."""
    return f"{line(f'step {step}/{steps}', values)} {duration(seconds_left)} left"


def duration(seconds: float) -> str:
    """Such as 45 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def evaluations_without_gain(values: Sequence[float], greater_is_better: bool) -> int:
    """How many of the last `values` of a metric came after the best one."""
    if not values:
        return 0
    best = max(values) if greater_is_better else min(values)
    return len(values) - 1 - list(values).index(best)


def _rounded(epoch: float) -> str:
    return f"{epoch:.2f}".rstrip("0").rstrip(".")
