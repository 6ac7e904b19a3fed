"""When each optimizer step of a Trainer ended: the same clock for `train` and for a script with a bare Trainer.

As a handler, `step_clock:Clocked`, it is text classification with that clock. The file that STEP_CLOCK names gets a
list of seconds in JSON.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from byo_container.container.job import TrainingJob
from byo_container.handlers.text_classification import TextClassification
from byo_container.handlers.text_classification.hyperparameters import Hyperparameters


def start() -> None:
    """Every Trainer that is made from now on has the clock, among the callbacks that come before those of its user."""
    from transformers import TrainerCallback, trainer

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers has no types here
        def __init__(self) -> None:
            self.ends: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            Path(os.environ["STEP_CLOCK"]).write_text(json.dumps(self.ends))

    trainer.DEFAULT_CALLBACKS.append(Clock)


class Clocked(TextClassification):
    """The handler itself, with the clock."""

    def train(self, job: TrainingJob[Hyperparameters]) -> None:
        start()
        super().train(job)
