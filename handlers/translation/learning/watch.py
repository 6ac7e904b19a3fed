"""What a rank did and how long it took, for the summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Watch:
    """Of this process, since it began (not since the job did, if it was resumed)."""

    updates: int = 0
    words: int = 0
    """Of the target, in the batches of all ranks."""
    batches: int = 0
    """With sentences in them, of this rank."""
    training_s: float = 0.0
    """From update to update: validation and saving left out."""
    waiting_s: float = 0.0
    """For the other ranks and the network, in updates."""
    _since: float | None = None

    def begin(self) -> None:
        """Training begins, or goes on after something else; it may go on already."""
        if self._since is None:
            self._since = time.monotonic()

    def pause(self) -> None:
        """Something else than training begins."""
        if self._since is not None:
            self.training_s += time.monotonic() - self._since
        self._since = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.waiting_s += time.monotonic() - began

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, its time counted as waiting."""

        def call(*arguments: Any, **named: Any) -> Any:
            with self.waiting():
                return function(*arguments, **named)

        return call

    @property
    def words_per_second(self) -> float:
        return self.words / self.training_s if self.training_s else 0.0

    @property
    def step_s(self) -> float:
        return self.training_s / self.updates if self.updates else 0.0

    @property
    def waiting_share(self) -> float:
        return min(1.0, self.waiting_s / self.training_s) if self.training_s else 0.0
