"""What a fine-tuning job may set. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from byo_container.container.hyperparameters import Range


@dataclass(frozen=True)
class Hyperparameters:
    """The sample's names, and those of Hugging Face's TrainingArguments.

    model_id          a name of the hub, or a path; without it the channel `model`.
    """

    model_id: str | None = None
    epochs: Annotated[int, Range(1, 1000)] = 4
    train_batch_size: Annotated[int, Range(1, 65536)] = 24
    eval_batch_size: Annotated[int, Range(1, 65536)] = 32
    learning_rate: Annotated[float, Range(0, 1, above=True)] = 3e-5
    fp16: bool | None = None
    max_length: Annotated[int, Range(8, 8192)] | None = None
    seed: Annotated[int, Range(0, 2**31 - 1)] = 42
