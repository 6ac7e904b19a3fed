"""The progress of a long step: a bar on a terminal, a few whole lines in a log. Standard library only."""

from __future__ import annotations

import sys
import time
from types import TracebackType

BAR_WIDTH = 30
LOG_EVERY_S = 5.0
DRAW_EVERY_S = 0.1


def say(text: str) -> None:
    """Prints a line and flushes it, so that the platform's log has it while the job runs."""
    print(text, flush=True)


class Progress:
    """A context manager for one long step:

    with Progress("encoding", total=412071, unit="headlines") as progress:
        progress.advance(1000)
    """

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0

    def __enter__(self) -> Progress:
        self._on_terminal = sys.stdout.isatty()
        self._begun = self._drawn = time.monotonic()
        return self

    def advance(self, count: int, note: str = "") -> None:
        """Adds `count` finished units. `note` is shown after the bar."""
        self.done += count
        now = time.monotonic()
        if now - self._drawn >= (DRAW_EVERY_S if self._on_terminal else LOG_EVERY_S):
            self._drawn = now
            self._draw(note)

    def _draw(self, note: str) -> None:
        share = self.done / self.total if self.total else 1.0
        filled = round(share * BAR_WIDTH)
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        text = f"{self.what} [{bar}] {share:4.0%} of {self.total:,} {self.unit} {note}".rstrip()
        print(f"\r{text}" if self._on_terminal else text, end="" if self._on_terminal else "\n", flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._on_terminal:
            print("\r\033[K", end="")
        if kind is None:
            seconds = time.monotonic() - self._begun
            say(f"{self.what}: {self.done:,} {self.unit} in {seconds:.1f} s")
