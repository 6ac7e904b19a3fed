"""fairseq's own training program, with four of its parts replaced:

    Trainer              PlatformTrainer, see trainer.py
    get_valid_stats      adds BLEU and chrF of the validation sentences
    validate_and_save    saves a checkpoint before the job stops on SIGTERM
    progress_bar         logs lines of metrics

Everything else, and so the meaning of every hyperparameter, is fairseq's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from byo_container.container.failure import JobStopped
from byo_container.handlers.translation.training import diagnosis, metric_log
from byo_container.handlers.translation.training.evaluation import EvaluationStopped, Evaluator
from byo_container.handlers.translation.training.state import VALIDATION_METRICS, AlreadyFinished, TrainingState


class TrainingLoop:
    """Runs one rank's training."""

    def __init__(self, state: TrainingState, evaluator: Evaluator | None) -> None:
        """`evaluator`: None where BLEU is off."""
        self._state, self._evaluator = state, evaluator

    def run(self, cfg: Any) -> None:
        """Trains to the end. On SIGTERM it saves a checkpoint and raises JobStopped."""
        from fairseq_cli import train

        with self._replaced_parts(train), contextlib.suppress(AlreadyFinished):
            train.main(cfg)
        self._state.meter.pause()

    @contextlib.contextmanager
    def _replaced_parts(self, train: Any) -> Iterator[None]:
        """fairseq's program with our parts, and without what an earlier run in this process has left in it."""
        _clear_attributes(train.checkpoint_utils.save_checkpoint)
        _clear_attributes(train.should_stop_early)
        parts = {
            (train, "Trainer"): self._trainer,
            (train, "get_valid_stats"): self._get_valid_stats(train),
            (train, "validate_and_save"): self._validate_and_save(train),
            (train.progress_bar, "progress_bar"): self._progress_bar,
        }
        originals = {(owner, name): getattr(owner, name) for owner, name in parts}
        try:
            for (owner, name), part in parts.items():
                setattr(owner, name, part)
            yield
        finally:
            for (owner, name), part in originals.items():
                setattr(owner, name, part)

    def _trainer(self, cfg: Any, task: Any, *parts: Any) -> Any:
        from byo_container.handlers.translation.training.trainer import PlatformTrainer

        self._state.trainer = PlatformTrainer(self._state, cfg, task, *parts)
        return self._state.trainer

    def _progress_bar(self, iterator: Any, **_: Any) -> MetricLines:
        return MetricLines(self._state.meter.loading(iterator), self._state.rank.is_first)

    def _validate_and_save(self, train: Any) -> Any:
        original, meter = train.validate_and_save, self._state.meter

        def validate_and_save(cfg: Any, trainer: Any, task: Any, epoch_itr: Any, *rest: Any) -> Any:
            meter.pause()
            # First what is due: a resumed job would not make up for the validation of an epoch.
            losses, ends = original(cfg, trainer, task, epoch_itr, *rest)
            if trainer.must_stop and not ends:
                train.checkpoint_utils.save_checkpoint(cfg.checkpoint, trainer, epoch_itr, None)
                raise JobStopped(f"after update {trainer.get_num_updates():,}; a checkpoint is saved")
            meter.start()
            return losses, ends

        return validate_and_save

    def _get_valid_stats(self, train: Any) -> Any:
        original = train.get_valid_stats

        def get_valid_stats(cfg: Any, trainer: Any, stats: dict[str, Any], is_tracked: bool) -> Any:
            if self._evaluator:
                with contextlib.suppress(EvaluationStopped):
                    scores = self._evaluator.measure(trainer.task, trainer.get_model())
                    stats |= {"bleu": scores.bleu, "chrf": scores.chrf}
            values: dict[str, float] = {name: float(stats[name]) for name in VALIDATION_METRICS if name in stats}
            with contextlib.suppress(KeyError):  # there is none before the first update
                values["train_loss"] = float(train.metrics.get_smoothed_value("train", "loss"))
            when = {"update": float(trainer.get_num_updates()), "seconds": float(trainer.cumulative_training_time())}
            self._state.validations.append({**when, **values})
            return original(cfg, trainer, stats, is_tracked)

        return get_valid_stats


class MetricLines:
    """Replaces fairseq's progress bar by log lines."""

    def __init__(self, iterator: Any, is_logging: bool) -> None:
        self._iterator, self._is_logging = iterator, is_logging

    def __iter__(self) -> Iterator[Any]:
        return iter(self._iterator)

    def log(self, stats: Mapping[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """Called every log_interval updates; PlatformTrainer has logged them already."""

    def print(self, stats: Mapping[str, Any], tag: str | None = None, step: int | None = None) -> None:
        """Called at the end of an epoch and of a validation."""
        if self._is_logging:
            names = metric_log.EPOCH if tag == "train" else metric_log.VALIDATION
            metric_log.log_metrics(step or 0, stats, names)

    def update_config(self, config: Any) -> None:
        """Part of fairseq's interface; nothing to do."""


def why_no_update(state: TrainingState) -> str:
    """Why no update was left to do, and what to change; empty where there was one."""
    if state.meter.updates:
        return ""
    from fairseq_cli import train

    without_gain = vars(train.should_stop_early).get("num_runs", 0)
    trainer = state.trainer
    return diagnosis.why_finished(
        trainer.cfg, trainer.get_num_updates(), state.next_epoch, without_gain, trainer.get_lr()
    )


def _clear_attributes(function: Any) -> None:
    """fairseq keeps the best metric so far, and the like, in attributes of functions."""
    vars(function).pop("best", None)
    vars(function).pop("num_runs", None)
