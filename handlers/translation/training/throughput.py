"""What a rank did and how long it took, for the summary at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from byo_container.handlers.translation.training.resource_usage import network_bytes


@dataclass(frozen=True)
class _Reading:
    time_s: float
    cpu_s: float
    sent: int
    received: int


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
    loading_s: float = 0.0
    """For the next batch."""
    cores: float = 1.0
    """Of the host, this rank's share."""
    cpu_s: float = 0.0
    """Of this process, all its threads; what loads data beside it is not counted."""
    interface: str | None = None
    """By which the ranks reach each other; None for a rank that is not to count, for another of its host does."""
    sent_bytes: int = 0
    received_bytes: int = 0
    gpu_samples: list[float] = field(default_factory=list)
    """Utilisation of the host's GPUs, 0 to 1."""
    _since: _Reading | None = None

    def begin(self) -> None:
        """Training begins, or goes on after something else; it may go on already."""
        if self._since is None:
            self._since = self._read()

    def pause(self) -> None:
        """Something else than training begins."""
        if self._since is not None:
            before, now = self._since, self._read()
            self.training_s += now.time_s - before.time_s
            self.cpu_s += now.cpu_s - before.cpu_s
            self.sent_bytes += now.sent - before.sent
            self.received_bytes += now.received - before.received
        self._since = None

    @property
    def is_training(self) -> bool:
        return self._since is not None

    def _read(self) -> _Reading:
        sent, received = network_bytes(self.interface) if self.interface else (0, 0)
        return _Reading(time.monotonic(), time.process_time(), sent, received)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.waiting_s += time.monotonic() - began

    def loaded(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches, the time until each is there counted where it is time of training."""
        remaining = iter(batches)
        while True:
            began = time.monotonic()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            if self.is_training:
                self.loading_s += time.monotonic() - began
            yield batch

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
        return self._share(self.waiting_s)

    @property
    def loading_share(self) -> float:
        return self._share(self.loading_s)

    def _share(self, seconds: float) -> float:
        return min(1.0, seconds / self.training_s) if self.training_s else 0.0
