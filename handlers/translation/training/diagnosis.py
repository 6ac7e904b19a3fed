"""What a job's figures say, in words: whether it was fully trained, whether it overfits, what holds it up.

Simple rules, which docs/translation.md explains; the figures that they go by stand beside them in the summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ENOUGH = 4  # validations, to say anything by
RECENTLY = 4  # the last quarter of the validations, two at least
STILL_FALLING = 0.01  # of the loss, in that quarter
RISEN = 0.01  # of the least loss
MUCH_WAITING = 0.25  # of the time
BUSY_GPU = 0.7


def fully_trained(losses: Sequence[float]) -> str:
    """From the validation losses in their order."""
    if len(losses) < ENOUGH:
        return _too_few(losses)
    recent = max(2, len(losses) // RECENTLY)
    gain = 1 - min(losses[-recent:]) / min(losses[:-recent])
    last = f"the last {recent} of {len(losses)} validations"
    if gain <= 0:
        return f"yes: {last} brought no lower validation loss"
    if gain < STILL_FALLING:
        return f"nearly: {last} lowered the validation loss by {gain:.1%}"
    return f"no: {last} lowered the validation loss by {gain:.1%}"


def overfitting(validations: Sequence[Mapping[str, float]]) -> str:
    """From the validations in their order, each with `update`, `loss` and, of the training text, `train_loss`."""
    if len(validations) < ENOUGH:
        return _too_few(validations)
    best, last = min(validations, key=lambda figures: figures["loss"]), validations[-1]
    rise = last["loss"] / best["loss"] - 1
    told = f"the validation loss ends {rise:.1%} above its least, that of update {best['update']:.0f}"
    if rise == 0:
        return f"no: the last validation loss is the least{_beside_training(last)}"
    if rise < RISEN or not last.get("train_loss", 0) < best.get("train_loss", 0):
        return f"no: {told}{_beside_training(last)}"
    return f"yes: {told}, while the training loss fell from {best['train_loss']:.3f} to {last['train_loss']:.3f}"


def _beside_training(figures: Mapping[str, float]) -> str:
    """How far a network does better on what it has seen; below 0 where dropout makes training the harder of the two."""
    if not figures.get("train_loss"):
        return ""
    gap = figures["loss"] / figures["train_loss"] - 1
    return f", {abs(gap):.1%} {'above' if gap >= 0 else 'below'} the training loss"


def _too_few(validations: Sequence[object]) -> str:
    return f"unknown: {len(validations)} validations are too few to tell, {ENOUGH} would do"


def bottleneck(waiting_for_network: float, waiting_for_data: float, gpu: float | None) -> str:
    """What a faster one of would speed training up most: network, data, gpu or cpu. Shares of the time, 0 to 1; `gpu`
    is the GPUs' utilisation, None where training is on CPUs."""
    if max(waiting_for_network, waiting_for_data) >= MUCH_WAITING:
        return "network" if waiting_for_network >= waiting_for_data else "data"
    return "gpu" if gpu is not None and gpu >= BUSY_GPU else "cpu"


def limit_reached(cfg: Any, updates: int, without_gain: int) -> str:
    """Which limit that fairseq looks at after an update ends a job with such a checkpoint, and what to do; empty where
    none does. `without_gain` is the number of validations since the best."""
    last, patience = cfg.optimization.max_update or 0, cfg.checkpoint.patience
    if 0 < last <= updates:
        return f"max_update {last:g} is reached; raise it"
    if 0 < patience <= without_gain:
        return f"patience {patience} is exhausted; raise it"
    return ""


def end_reached(cfg: Any, updates: int, next_epoch: int, without_gain: int, learning_rate: float) -> str:
    """Why a job had no update left to do, and what to do."""
    last = cfg.optimization.max_epoch
    if reason := limit_reached(cfg, updates, without_gain):
        return reason
    if 0 < last < next_epoch:
        return f"max_epoch {last:g} is reached; raise it"
    return f"the learning rate, {learning_rate:g}, is not above stop_min_lr {cfg.optimization.stop_min_lr:g}; lower it"
