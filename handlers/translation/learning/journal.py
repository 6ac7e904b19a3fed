"""A job's metrics: lines in the log, of the form in which process 1 and the platform look for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container.metrics import line
from container.progress import say

TRAINING = {"loss": "train_loss", "ppl": "train_perplexity", "lr": "learning_rate", "wps": "words_per_second"}
EPOCH = {name: TRAINING[name] for name in ("loss", "ppl", "lr")}
VALIDATION = {"loss": "valid_loss", "ppl": "valid_perplexity", "bleu": "valid_bleu", "chrf": "valid_chrf"}


def tell(update: int, stats: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """`update 120: train_loss=3.4121; learning_rate=0.25;` of those of fairseq's `stats` that `names` names."""
    found = {name: _number(stats[key]) for key, name in names.items() if key in stats}
    values = {name: value for name, value in found.items() if value is not None}
    if values:
        say(line(f"update {update}", values))


def _number(value: Any) -> float | None:
    """A number, or what one of fairseq's meters shows."""
    for name in ("avg", "sum", "val"):
        value = getattr(value, name, value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
