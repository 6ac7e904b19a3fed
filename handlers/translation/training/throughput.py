"""Measures what a rank does and how long it takes, for the summary at the end."""

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
class ThroughputMeter:
    """Measures this process since it started; a resumed job starts at zero."""

    updates: int = 0
    words: int = 0
    """Subword tokens of the target language in the batches of all ranks."""
    batches: int = 0
    """Batches of this rank that have sentences."""
    training_s: float = 0.0
    """Time from update to update, without validating and saving."""
    waiting_s: float = 0.0
    """Time in updates spent waiting for the other ranks and the network."""
    loading_s: float = 0.0
    """Time spent waiting for the next batch."""
    cores: float = 1.0
    """This rank's share of the cores of its host."""
    cpu_s: float = 0.0
    """Processor time of all threads of this process; processes that load data are not included."""
    interface: str | None = None
    """The interface by which the ranks communicate; None where another rank of the host measures it."""
    sent_bytes: int = 0
    received_bytes: int = 0
    gpu_samples: list[float] = field(default_factory=list)
    """Utilisation of the host's GPUs, 0 to 1."""
    _since: _Reading | None = None

    def start(self) -> None:
        """Training starts or continues. Does nothing while it is running."""
        if self._since is None:
            self._since = self._read()

    def pause(self) -> None:
        """Training pauses for something else, such as validation."""
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
        """Counts the time of its block as waiting."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.waiting_s += time.monotonic() - started

    def loading(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yields the batches, and counts the time until each is there while training."""
        remaining = iter(batches)
        while True:
            started = time.monotonic()
            try:
                batch = next(remaining)
            except StopIteration:
                return
            if self.is_training:
                self.loading_s += time.monotonic() - started
            yield batch

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wraps `function`, so that its time counts as waiting."""

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
