"""nginx's output: its access log is passed on, the answers that it makes without a worker are counted, and its errors
are logged.

If nobody reads our log, lines are dropped: nginx would wait until it can write its own, and answer no request.
"""

from __future__ import annotations

import os
import re
import select
import time
from contextlib import suppress

from byo_container.container.log import log
from byo_container.serving.metrics import prometheus

# The start of a line that holds only the status of an answer that no worker has made. See nginx.conf.template.
STATUS_ONLY = "#"
HELD_BYTES = 1024 * 1024
ATOMIC_BYTES = 4096  # a pipe that is writable takes this much without waiting
SUMMARY_S = 1.0  # how often refused requests are logged, at most
# nginx's messages when the workers' queue is full; and as root in a container without capabilities, which is no error.
QUEUE_FULL = "(11: Resource temporarily unavailable) while connecting to upstream"
HARMLESS = "initgroups("
PORT_IN_USE = re.compile(r"bind\(\) to (\S+) failed \(98: ")


class AccessLog:
    """nginx's stdout, line by line: passed on to ours."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._held = bytearray()
        self._dropped = 0

    def line(self, text: str) -> None:
        if text.startswith(STATUS_ONLY):
            with suppress(ValueError):
                prometheus.count(int(text[len(STATUS_ONLY) :]))
            return
        if len(self._held) > HELD_BYTES:
            self.flush()
        if len(self._held) > HELD_BYTES:
            self._dropped += 1
        else:
            self._held += text.encode() + b"\n"

    def flush(self) -> None:
        """Writes what can be written without waiting. Called after nginx's output has been read."""
        try:
            while self._held and select.select([], [self._descriptor], [], 0)[1]:
                del self._held[: os.write(self._descriptor, self._held[:ATOMIC_BYTES])]
        except (OSError, ValueError):  # the reader has closed the pipe
            self._held.clear()
        if self._dropped and not self._held:
            log.warning("nobody read the log for a while: %d lines of the access log are lost", self._dropped)
            self._dropped = 0


class NginxErrorLog:
    """nginx's stderr, line by line. Refused requests, a line each, are summed up once a second."""

    def __init__(self) -> None:
        self._refused = 0
        self._summed_up = 0.0
        self._in_use = ""

    def line(self, text: str) -> None:
        if QUEUE_FULL in text:
            self._refused += 1
            self.flush()
        elif found := PORT_IN_USE.search(text):
            self._say_in_use(found[1])
        elif HARMLESS not in text:
            log.warning("nginx: %s", text)

    def _say_in_use(self, address: str) -> None:
        """Once, though nginx tries for some seconds."""
        if address != self._in_use:
            log.warning("%s is in use; end what listens there, or set SAGEMAKER_BIND_TO_PORT to another port", address)
        self._in_use = address

    def flush(self) -> None:
        if self._refused and time.monotonic() - self._summed_up > SUMMARY_S:
            log.warning(
                "%d requests were refused with 503: the worker queue is full (MODEL_SERVER_QUEUE_SIZE)", self._refused
            )
            self._refused, self._summed_up = 0, time.monotonic()
