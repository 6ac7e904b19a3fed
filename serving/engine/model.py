"""What the engine needs of a model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from byo_container.serving.engine.queue import BatchPolicy


class Model(Protocol):
    """A model that an engine runs. All but `batch_policy` and `on_stuck` is called in compute threads."""

    @property
    def batch_policy(self) -> BatchPolicy:
        """How requests are batched; final once `load` has returned."""

    def load(self) -> None:
        """Loads the model, once, in the first compute thread (frameworks bind their state to threads)."""

    def context(self) -> AbstractContextManager[Any]:
        """What the engine enters around each `compute` and each task, such as PyTorch's inference mode."""

    def compute(self, items: list[Any]) -> list[Any]:
        """One outcome for each item. An outcome that is an exception fails its own request only."""

    def on_stuck(self) -> None:
        """Called in the event loop after a thread was given up because its computation did not end in time."""
