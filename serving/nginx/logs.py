"""What nginx writes: its access log passed on, the answers that it makes by itself counted, its complaints told once.

Whoever reads our log may stop to: then lines are dropped, for nginx would wait for its log and answer nobody.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

from byo_container.container.log import log
from byo_container.serving.metrics import prometheus

# In front of a line that is not for the log: the status of an answer that no worker has made.
TALLY = "#"
HELD_BYTES = 1024 * 1024
ATOMIC_BYTES = 4096  # a pipe that is writable takes as much without waiting
EVERY_S = 1.0
# What nginx says when the workers' queue is full, and as root in a container without capabilities, which is no fault.
QUEUE_FULL = "(11: Resource temporarily unavailable) while connecting to upstream"
HARMLESS = "initgroups("


class AccessLog:
    """nginx's stdout, line by line."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._held = bytearray()
        self._dropped = 0

    def line(self, text: str) -> None:
        if text.startswith(TALLY):
            with suppress(ValueError):
                prometheus.count(int(text[len(TALLY) :]))
            return
        if len(self._held) > HELD_BYTES:
            self.flush()
        if len(self._held) > HELD_BYTES:
            self._dropped += 1
        else:
            self._held += text.encode() + b"\n"

    def flush(self) -> None:
        """Writes what can be written without waiting. Called after every look at nginx's output."""
        try:
            while self._held and select.select([], [self._descriptor], [], 0)[1]:
                del self._held[: os.write(self._descriptor, self._held[:ATOMIC_BYTES])]
        except (OSError, ValueError):  # nobody reads any more
            self._held.clear()
        if self._dropped and not self._held:
            log.warning("nobody read the log for a while: %d lines of the access log are lost", self._dropped)
            self._dropped = 0


class Complaints:
    """nginx's stderr, line by line. What comes with every refused request is told once a second."""

    def __init__(self) -> None:
        self._refused = 0
        self._told = 0.0

    def line(self, text: str) -> None:
        if QUEUE_FULL in text:
            self._refused += 1
            self.flush()
        elif HARMLESS not in text:
            log.warning("nginx: %s", text)

    def flush(self) -> None:
        if self._refused and time.monotonic() - self._told > EVERY_S:
            log.warning(
                "%d requests were refused with 503: as many wait for the workers as may (MODEL_SERVER_QUEUE_SIZE)",
                self._refused,
            )
            self._refused, self._told = 0, time.monotonic()
