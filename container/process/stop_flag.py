"""SIGTERM as a flag, for training loops."""

from __future__ import annotations

import signal
from types import FrameType


class StopFlag:
    """Turns SIGTERM into a flag instead of the exception JobStopped, for a training loop that saves before it ends:

    with StopFlag() as stop:
        for batch in batches:
            if stop.requested:
                break
    """

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopFlag:
        self._old = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._old)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
