"""The metrics of a job: log lines of the form that process 1 and the platform parse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byo_container.container.metrics import line
from byo_container.container.progress import say

TRAINING = {"loss": "train_loss", "ppl": "train_perplexity", "lr": "learning_rate", "wps": "words_per_second"}
EPOCH = {name: TRAINING[name] for name in ("loss", "ppl", "lr")}
VALIDATION = {"loss": "valid_loss", "ppl": "valid_perplexity", "bleu": "valid_bleu", "chrf": "valid_chrf"}
"""fairseq's names of metrics → ours."""

MAX_INTERVAL_S = 10.0


@dataclass
class LogSchedule:
    """When to log training metrics: after the first update of this process, then after every `interval` updates or
    after MAX_INTERVAL_S seconds, whichever comes first."""

    interval: int
    _last_s: float | None = None

    def is_due(self, update: int, now_s: float) -> bool:
        """To be called once after every update; `now_s` is from a monotonic clock."""
        is_due = self._last_s is None or update % self.interval == 0 or now_s - self._last_s >= MAX_INTERVAL_S
        if is_due:
            self._last_s = now_s
        return is_due


def log_metrics(update: int, stats: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Logs `update 120: train_loss=3.4121; learning_rate=0.25;`: those of fairseq's `stats` that are in `names`."""
    numbers = {name: _number(stats[key]) for key, name in names.items() if key in stats}
    values = {name: value for name, value in numbers.items() if value is not None}
    if values.get(TRAINING["wps"]) == 0:
        del values[TRAINING["wps"]]  # fairseq starts to measure it at the first update
    if values:
        say(line(f"update {update}", values))


def _number(value: Any) -> float | None:
    """A number, or the value of one of fairseq's meters."""
    for name in ("avg", "sum", "val"):
        value = getattr(value, name, value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
