"""The state of one rank's training, which its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from byo_container.container.process.stop_flag import StopFlag
from byo_container.handlers.translation.training.distribution import Rank
from byo_container.handlers.translation.training.throughput import ThroughputMeter

VALIDATION_METRICS = ("loss", "ppl", "bleu", "chrf")


class AlreadyFinished(Exception):  # noqa: N818  it is no error
    """The checkpoint is that of a job that had reached its end."""


@dataclass
class TrainingState:
    """What the trainer, the loop and the job know about one rank's training."""

    rank: Rank
    stop: StopFlag
    autocast: bool = False
    """Whether to compute in bfloat16 on the CPU where that is exact enough: matrix products above all."""
    meter: ThroughputMeter = field(default_factory=ThroughputMeter)
    validations: list[dict[str, float]] = field(default_factory=list)
    """The metrics of all validations since training began, with the number of the update."""
    trainer: Any = None
    """fairseq's, once it is made."""
    next_epoch: int = 1
    """The epoch in which training resumes, counted from 1."""
