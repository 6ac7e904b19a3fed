"""fairseq's own training program, with four of its parts replaced:

    its Trainer            one that agrees with the other ranks on when to stop, and looks at the clock
    get_valid_stats        adds BLEU and chrF of the validation sentences
    validate_and_save      a checkpoint before the job ends on SIGTERM
    its progress bar       lines of metrics

Everything else, and so the meaning of every hyperparameter, is fairseq's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byo_container.container.failure import JobStopped
from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import say
from byo_container.handlers.translation.training import diagnosis, metric_log
from byo_container.handlers.translation.training.distribution import Rank
from byo_container.handlers.translation.training.evaluation import Evaluator, Stopped
from byo_container.handlers.translation.training.throughput import Watch

STOP = "stop_requested"
"""A figure among those that the ranks add up in every update: how many of them were told to stop."""
INNER = "train_inner"
"""What fairseq calls the figures since the last line."""
MEASURES = ("loss", "ppl", "bleu", "chrf")
"""What is measured with the validation text."""
VALIDATIONS, PATIENCE = "byo_validations", "byo_patience"
"""What our checkpoints hold beside fairseq's own."""


class Finished(Exception):  # noqa: N818  it is no error
    """The checkpoint is that of a job which had come to its end."""


@dataclass
class Loop:
    """One rank's training. `evaluator` is None where no BLEU is wanted."""

    rank: Rank
    stop: StopFlag
    evaluator: Evaluator | None = None
    autocast: bool = False
    """Whether to compute in bfloat16, on the CPU, what need not be exact: products of matrices above all."""
    watch: Watch = field(default_factory=Watch)
    validations: list[dict[str, float]] = field(default_factory=list)
    """What has been measured, with the number of the update, since training began."""
    trainer: Any = None
    next_epoch: int = 1
    """The one in which training goes on, counted from 1."""

    def had_nothing_to_do(self) -> str:
        """Why no update was left to do, and what to change; empty where one was done."""
        if self.watch.updates:
            return ""
        from fairseq_cli import train

        without_gain = vars(train.should_stop_early).get("num_runs", 0)
        return diagnosis.end_reached(
            self.trainer.cfg, self.trainer.get_num_updates(), self.next_epoch, without_gain, self.trainer.get_lr()
        )

    def run(self, cfg: Any) -> None:
        """Trains to the end. Raises JobStopped after SIGTERM, when a checkpoint has been written."""
        from fairseq_cli import train

        with self._replaced(train), contextlib.suppress(Finished):
            train.main(cfg)
        self.watch.pause()

    @contextlib.contextmanager
    def _replaced(self, train: Any) -> Iterator[None]:
        """fairseq's program with our parts, and without what an earlier run in this process left in it."""
        _forget(train.checkpoint_utils.save_checkpoint)
        _forget(train.should_stop_early)
        parts = {
            (train, "Trainer"): trainer_class(self),
            (train, "get_valid_stats"): self._figures_by(train),
            (train, "validate_and_save"): self._validate_and_save_by(train),
            (train.progress_bar, "progress_bar"): self._lines,
        }
        plain = {(owner, name): getattr(owner, name) for owner, name in parts}
        try:
            for (owner, name), part in parts.items():
                setattr(owner, name, part)
            yield
        finally:
            for (owner, name), part in plain.items():
                setattr(owner, name, part)

    def _validate_and_save_by(self, train: Any) -> Any:
        plain = train.validate_and_save

        def validate_and_save(cfg: Any, trainer: Any, task: Any, epoch_itr: Any, *rest: Any) -> Any:
            self.watch.pause()
            # What is due is done first: an epoch's validation would never be made up for.
            losses, ends = plain(cfg, trainer, task, epoch_itr, *rest)
            if trainer.must_stop and not ends:
                train.checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
                raise JobStopped(f"after update {trainer.get_num_updates():,}; a checkpoint is saved")
            self.watch.begin()
            return losses, ends

        return validate_and_save

    def _lines(self, iterator: Any, **_: Any) -> Lines:
        return Lines(self.watch.loaded(iterator), self.rank.is_first)

    def _figures_by(self, train: Any) -> Any:
        plain = train.get_valid_stats

        def get_valid_stats(cfg: Any, trainer: Any, stats: dict[str, Any], is_tracked: bool) -> Any:
            if self.evaluator:
                with contextlib.suppress(Stopped):
                    scores = self.evaluator.measure(trainer.task, trainer.get_model())
                    stats |= {"bleu": scores.bleu, "chrf": scores.chrf}
            figures: dict[str, float] = {name: float(stats[name]) for name in MEASURES if name in stats}
            with contextlib.suppress(KeyError):  # before the first update there is none
                figures["train_loss"] = float(train.metrics.get_smoothed_value("train", "loss"))
            at = {"update": float(trainer.get_num_updates()), "seconds": float(trainer.cumulative_training_time())}
            self.validations.append({**at, **figures})
            return plain(cfg, trainer, stats, is_tracked)

        return get_valid_stats


class Lines:
    """In place of fairseq's progress bar."""

    def __init__(self, iterator: Any, speaks: bool) -> None:
        self._iterator, self._speaks = iterator, speaks

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterator)

    def log(self, stats: Mapping[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """At every log_interval-th update, of which the trainer has already told."""

    def print(self, stats: Mapping[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """At the end of an epoch, and of a validation."""
        if self._speaks:
            names = metric_log.EPOCH if tag == "train" else metric_log.VALIDATION
            metric_log.tell(step or 0, stats, names)

    def update_config(self, config: Any) -> None:
        """fairseq's bars show it; we do not."""


def trainer_class(loop: Loop) -> Any:
    """fairseq's Trainer for `loop`. A class made late, for fairseq is imported late."""
    from fairseq.logging import metrics
    from fairseq.trainer import Trainer
    from fairseq_cli import train

    class OurTrainer(Trainer):  # type: ignore[misc]
        def __init__(self, cfg: Any, task: Any, *parts: Any) -> None:
            super().__init__(cfg, task, *parts)
            loop.trainer = self
            self._in_update = self._agreed = False
            self._lines = metric_log.Schedule(cfg.common.log_interval)
            if loop.autocast:
                compute_in_bfloat16(self._criterion)

        @property
        def must_stop(self) -> bool:
            """Whether all ranks have to end now; on all of them the same."""
            return self._agreed if loop.rank.world > 1 else loop.stop.requested

        def get_train_iterator(self, *arguments: Any, **named: Any) -> Any:
            batches = super().get_train_iterator(*arguments, **named)
            if loop.rank.world > 1 and not self.cfg.dataset.grouped_shuffling:
                deal_alike(batches)
            return batches

        def train_step(self, samples: Any, raise_oom: bool = False) -> Any:
            self._in_update = True
            loop.watch.begin()
            try:
                output = super().train_step(samples, raise_oom)
            finally:
                self._in_update = False
            loop.watch.updates += output is not None
            loop.watch.batches += sum(1 for sample in samples if sample)
            if output is not None and self._lines.is_due(self.get_num_updates(), time.monotonic()):
                if loop.rank.is_first:
                    metric_log.tell(self.get_num_updates(), metrics.get_smoothed_values(INNER), metric_log.TRAINING)
                metrics.reset_meters(INNER)
            return output

        def _aggregate_logging_outputs(self, outputs: Any, *sums: Any, ignore: bool = False) -> Any:
            if not self._in_update:
                return super()._aggregate_logging_outputs(outputs, *sums, ignore=ignore)
            for output in outputs:
                output[STOP] = float(loop.stop.requested)
            with loop.watch.waiting():
                outputs, sums = super()._aggregate_logging_outputs(outputs, *sums, ignore=ignore)
            self._agreed = sum(float(output.pop(STOP, 0)) for output in outputs) > 0
            return outputs, sums

        def _build_optimizer(self) -> None:
            super()._build_optimizer()
            if loop.rank.world > 1:
                self._optimizer.all_reduce_grads = loop.watch.timed(self._optimizer.all_reduce_grads)

        def _reduce_and_log_stats(self, outputs: Any, *rest: Any) -> Any:
            if self._in_update:
                loop.watch.words += sum(int(output.get("ntokens", 0)) for output in outputs or ())
            return super()._reduce_and_log_stats(outputs, *rest)

        def save_checkpoint(self, filename: str, extra_state: dict[str, Any]) -> None:
            patience = {name: vars(train.should_stop_early).get(name) for name in ("best", "num_runs")}
            ours = {VALIDATIONS: list(loop.validations), PATIENCE: patience}
            super().save_checkpoint(filename, {**extra_state, **ours})

        def load_checkpoint(self, filename: str, *arguments: Any, **named: Any) -> Any:
            state = super().load_checkpoint(filename, *arguments, **named)
            if state is not None:
                place = state.get("train_iterator", {})
                if self.get_num_updates() and not self.cfg.checkpoint.reset_dataloader:
                    loop.next_epoch = int(place["epoch"])
                if loop.rank.is_first:
                    say(going_on(self.get_num_updates(), place, Path(filename).name))
                loop.validations[:] = state.get(VALIDATIONS, [])
                patience = {name: value for name, value in state.get(PATIENCE, {}).items() if value is not None}
                vars(train.should_stop_early).update(patience)
                if _has_ended(self.cfg, self.get_num_updates(), patience.get("num_runs", 0)):
                    raise Finished
            return state

    return OurTrainer


def going_on(updates: int, place: Mapping[str, Any], name: str) -> str:
    """What to say of a job that resumes from the checkpoint `name`; `place` is fairseq's in the data."""
    if not updates:
        return f"beginning with the weights in {name}"
    is_whole = not place.get("iterations_in_epoch")
    return f"going on after update {updates} (epoch {place['epoch'] - is_whole}), from {name}"


def deal_alike(batches: Any) -> None:
    """Has an EpochBatchIterator of fairseq deal out, for each update, batches of like size to all ranks: who has less
    to do waits for the others. fairseq's own grouped_shuffling does so too, and leaves out what does not go round."""
    from fairseq.data.data_utils import numpy_seed

    plain = batches.ordered_batches

    def ordered_batches(epoch: int, fix_batches_to_gpus: bool, shuffle: bool) -> Any:
        if not shuffle:
            return plain(epoch, fix_batches_to_gpus, shuffle)
        import numpy as np

        ranks, every = batches.num_shards, list(batches.frozen_batches)  # by length
        rounds = [every[first : first + ranks] for first in range(0, len(every), ranks)]
        rest = [rounds.pop()] if len(every) % ranks else []  # last, where fairseq expects ranks without a batch
        with numpy_seed(batches.seed + epoch):
            np.random.shuffle(rounds)
        return [dealt[batches.shard_id] if batches.shard_id < len(dealt) else [] for dealt in rounds + rest]

    batches.ordered_batches = ordered_batches


def compute_in_bfloat16(criterion: Any) -> None:
    """Has a criterion, and the network that it calls, compute in mixed precision while training. As on GPUs the
    parameters, their gradients and the sums of losses stay in single precision."""
    import torch

    plain = criterion.forward

    def forward(*arguments: Any, **named: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=criterion.training):
            return plain(*arguments, **named)

    criterion.forward = forward


def _has_ended(cfg: Any, updates: int, without_gain: int) -> bool:
    """Whether a job with such a checkpoint was over; fairseq itself would do one more update."""
    return bool(diagnosis.limit_reached(cfg, updates, without_gain))


def _forget(function: Any) -> None:
    """fairseq keeps the best figure so far, and the like, as attributes of functions."""
    vars(function).pop("best", None)
    vars(function).pop("num_runs", None)
