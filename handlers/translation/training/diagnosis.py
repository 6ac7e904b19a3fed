"""The diagnosis of a job in words: whether the model is fully trained, whether it overfits, and the bottleneck.

These are simple rules, explained in docs/translation.md. The metrics that they use are in the summary too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MIN_VALIDATIONS = 4
RECENT_SHARE = 4  # the last quarter of the validations, at least two
STILL_FALLING = 0.01  # relative decrease of the loss in that quarter
RISEN = 0.01  # relative to the minimum
MUCH_WAITING = 0.25  # share of the time
BUSY_GPU = 0.7


def fully_trained(losses: Sequence[float]) -> str:
    """From the validation losses in order."""
    if len(losses) < MIN_VALIDATIONS:
        return _too_few(losses)
    recent = max(2, len(losses) // RECENT_SHARE)
    gain = 1 - min(losses[-recent:]) / min(losses[:-recent])
    last = f"the last {recent} of {len(losses)} validations"
    if gain <= 0:
        return f"yes: {last} brought no lower validation loss"
    if gain < STILL_FALLING:
        return f"nearly: {last} lowered the validation loss by {gain:.1%}"
    return f"no: {last} lowered the validation loss by {gain:.1%}"


def overfitting(validations: Sequence[Mapping[str, float]]) -> str:
    """From the validations in order, each with `update`, `loss` and the `train_loss` of the training text."""
    if len(validations) < MIN_VALIDATIONS:
        return _too_few(validations)
    best, last = min(validations, key=lambda metrics: metrics["loss"]), validations[-1]
    rise = last["loss"] / best["loss"] - 1
    message = f"the validation loss ends {rise:.1%} above its least, that of update {best['update']:.0f}"
    if rise == 0:
        return f"no: the last validation loss is the least{_gap_to_training(last)}"
    if rise < RISEN or not last.get("train_loss", 0) < best.get("train_loss", 0):
        return f"no: {message}{_gap_to_training(last)}"
    return f"yes: {message}, while the training loss fell from {best['train_loss']:.3f} to {last['train_loss']:.3f}"


def _gap_to_training(metrics: Mapping[str, float]) -> str:
    """The gap between validation and training loss; negative where dropout makes training the harder of the two."""
    if not metrics.get("train_loss"):
        return ""
    gap = metrics["loss"] / metrics["train_loss"] - 1
    return f", {abs(gap):.1%} {'above' if gap >= 0 else 'below'} the training loss"


def _too_few(validations: Sequence[object]) -> str:
    return f"unknown: {len(validations)} validations are too few to tell, {MIN_VALIDATIONS} would do"


def bottleneck(waiting_for_network: float, waiting_for_data: float, gpu: float | None) -> str:
    """The resource that limits the speed of training most: network, data, gpu or cpu. The arguments are shares of the
    time, 0 to 1; `gpu` is the utilisation of the GPUs, None where training is on CPUs."""
    if max(waiting_for_network, waiting_for_data) >= MUCH_WAITING:
        return "network" if waiting_for_network >= waiting_for_data else "data"
    return "gpu" if gpu is not None and gpu >= BUSY_GPU else "cpu"


def reached_limit(cfg: Any, updates: int, without_gain: int) -> str:
    """The limit, of those that fairseq checks after an update, that ends a job with such a checkpoint, and what to do;
    empty where there is none. `without_gain` is the number of validations since the best."""
    last, patience = cfg.optimization.max_update or 0, cfg.checkpoint.patience
    if 0 < last <= updates:
        return f"max_update {last:g} is reached; raise it"
    if 0 < patience <= without_gain:
        return f"patience {patience} is exhausted; raise it"
    return ""


def why_finished(cfg: Any, updates: int, next_epoch: int, without_gain: int, learning_rate: float) -> str:
    """Why a job had no update left to do, and what to change."""
    last = cfg.optimization.max_epoch
    if reason := reached_limit(cfg, updates, without_gain):
        return reason
    if 0 < last < next_epoch:
        return f"max_epoch {last:g} is reached; raise it"
    return f"the learning rate, {learning_rate:g}, is not above stop_min_lr {cfg.optimization.stop_min_lr:g}; lower it"
