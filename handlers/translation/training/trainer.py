"""fairseq's Trainer for jobs of the platform. Imports fairseq, and so is imported late.

It agrees with the other ranks on when to stop, logs metrics by updates and by the clock, measures waiting times, and
keeps the validations in its checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byo_container.container.progress import say
from byo_container.handlers.translation import compat
from byo_container.handlers.translation.training import diagnosis, metric_log
from byo_container.handlers.translation.training.state import AlreadyFinished, TrainingState

compat.install()
from fairseq.logging import metrics  # noqa: E402
from fairseq.trainer import Trainer  # noqa: E402
from fairseq_cli.train import should_stop_early  # noqa: E402

STOP = "stop_requested"
"""A value among those that the ranks sum up in every update: how many of them have a stop request."""
INTERVAL_METRICS = "train_inner"
"""fairseq's name for the metrics since the last log line."""
VALIDATIONS, PATIENCE = "byo_validations", "byo_patience"
"""Keys of our own in a checkpoint."""


class PlatformTrainer(Trainer):  # type: ignore[misc]  # fairseq has no types
    """fairseq's Trainer with the platform's way to stop, log and resume."""

    def __init__(self, state: TrainingState, cfg: Any, task: Any, *parts: Any) -> None:
        super().__init__(cfg, task, *parts)
        self._state = state
        self._in_update = self._agreed_to_stop = False
        self._schedule = metric_log.LogSchedule(cfg.common.log_interval)
        if state.autocast:
            autocast_to_bfloat16(self._criterion)

    @property
    def must_stop(self) -> bool:
        """Whether all ranks have to stop now; the same on all of them."""
        return self._agreed_to_stop if self._state.rank.world_size > 1 else self._state.stop.requested

    def get_train_iterator(self, *arguments: Any, **named: Any) -> Any:
        batches = super().get_train_iterator(*arguments, **named)
        if self._state.rank.world_size > 1 and not self.cfg.dataset.grouped_shuffling:
            balance_batches(batches)
        return batches

    def train_step(self, samples: Any, raise_oom: bool = False) -> Any:
        meter = self._state.meter
        self._in_update = True
        meter.start()
        try:
            output = super().train_step(samples, raise_oom)
        finally:
            self._in_update = False
        meter.updates += output is not None
        meter.batches += sum(1 for sample in samples if sample)
        if output is not None and self._schedule.is_due(self.get_num_updates(), time.monotonic()):
            if self._state.rank.is_first:
                values = metrics.get_smoothed_values(INTERVAL_METRICS)
                metric_log.log_metrics(self.get_num_updates(), values, metric_log.TRAINING)
            metrics.reset_meters(INTERVAL_METRICS)
        return output

    def _aggregate_logging_outputs(self, outputs: Any, *sums: Any, ignore: bool = False) -> Any:
        if not self._in_update:
            return super()._aggregate_logging_outputs(outputs, *sums, ignore=ignore)
        for output in outputs:
            output[STOP] = float(self._state.stop.requested)
        with self._state.meter.waiting():
            outputs, sums = super()._aggregate_logging_outputs(outputs, *sums, ignore=ignore)
        self._agreed_to_stop = sum(float(output.pop(STOP, 0)) for output in outputs) > 0
        return outputs, sums

    def _build_optimizer(self) -> None:
        super()._build_optimizer()
        if self._state.rank.world_size > 1:
            self._optimizer.all_reduce_grads = self._state.meter.timed(self._optimizer.all_reduce_grads)

    def _reduce_and_log_stats(self, outputs: Any, *rest: Any) -> Any:
        if self._in_update:
            self._state.meter.words += sum(int(output.get("ntokens", 0)) for output in outputs or ())
        return super()._reduce_and_log_stats(outputs, *rest)

    def save_checkpoint(self, filename: str, extra_state: dict[str, Any]) -> None:
        patience = {name: vars(should_stop_early).get(name) for name in ("best", "num_runs")}
        own = {VALIDATIONS: list(self._state.validations), PATIENCE: patience}
        super().save_checkpoint(filename, {**extra_state, **own})

    def load_checkpoint(self, filename: str, *arguments: Any, **named: Any) -> Any:
        extra_state = super().load_checkpoint(filename, *arguments, **named)
        if extra_state is not None:
            self._resume_from(extra_state, Path(filename).name)
        return extra_state

    def _resume_from(self, extra_state: Mapping[str, Any], name: str) -> None:
        state, updates = self._state, self.get_num_updates()
        position = extra_state.get("train_iterator", {})
        if updates and not self.cfg.checkpoint.reset_dataloader:
            state.next_epoch = int(position["epoch"])
        if state.rank.is_first:
            say(resume_message(updates, position, name))
        state.validations[:] = extra_state.get(VALIDATIONS, [])
        patience = {name: value for name, value in extra_state.get(PATIENCE, {}).items() if value is not None}
        vars(should_stop_early).update(patience)
        # fairseq itself would do one more update.
        if diagnosis.reached_limit(self.cfg, updates, patience.get("num_runs", 0)):
            raise AlreadyFinished


def resume_message(updates: int, position: Mapping[str, Any], name: str) -> str:
    """The log line of a job that resumes from the checkpoint `name`; `position` is fairseq's, in the data."""
    if not updates:
        return f"beginning with the weights in {name}"
    is_epoch_end = not position.get("iterations_in_epoch")
    return f"going on after update {updates} (epoch {position['epoch'] - is_epoch_end}), from {name}"


def balance_batches(batches: Any) -> None:
    """Makes an EpochBatchIterator of fairseq give all ranks batches of similar size in each update, as a rank with less
    to do waits for the others. fairseq's grouped_shuffling does so too, but drops the last incomplete round."""
    from fairseq.data.data_utils import numpy_seed

    plain = batches.ordered_batches

    def ordered_batches(epoch: int, fix_batches_to_gpus: bool, shuffle: bool) -> Any:
        if not shuffle:
            return plain(epoch, fix_batches_to_gpus, shuffle)
        import numpy as np

        ranks, by_length = batches.num_shards, list(batches.frozen_batches)
        rounds = [by_length[first : first + ranks] for first in range(0, len(by_length), ranks)]
        # An incomplete round comes last, where fairseq expects ranks without a batch.
        incomplete = [rounds.pop()] if len(by_length) % ranks else []
        with numpy_seed(batches.seed + epoch):
            np.random.shuffle(rounds)
        shard = batches.shard_id
        return [one[shard] if shard < len(one) else [] for one in rounds + incomplete]

    batches.ordered_batches = ordered_batches


def autocast_to_bfloat16(criterion: Any) -> None:
    """Makes a criterion, and the model that it calls, compute in mixed precision while training. As on GPUs,
    parameters, gradients and sums of losses stay in single precision."""
    import torch

    plain = criterion.forward

    def forward(*arguments: Any, **named: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=criterion.training):
            return plain(*arguments, **named)

    criterion.forward = forward
