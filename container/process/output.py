"""The output of a child: passed on as it comes, its end kept, its lines given to callbacks."""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import IO

READ_BYTES = 64 * 1024
TAIL_BYTES = 64 * 1024
LONGEST_LINE = 8 * 1024
LONGEST_HELD = 64 * 1024  # of a line whose end has not come yet
BLOCKED_MS = 250
PAUSE_S = 10.0

OnLine = Callable[[str], None]
OnLines = Callable[[bytes], None]


class Lines:
    """Puts whole lines together from pieces. Lines are returned in blocks: a Python call for each line of a log would
    slow down the program that writes it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Returns the lines that `data` completes. b"" is the end of the stream, where the rest is a line too."""
        end = data.rfind(b"\n") + 1
        if data and not end:
            # A progress bar writes over one line again and again: its end counts.
            self._rest = (self._rest + data)[-LONGEST_LINE:]
            return b""
        lines, self._rest = self._rest + data[:end], data[end:][-LONGEST_LINE:]
        return lines


class Output:
    """One stream of a child, copied to the file descriptor `copy_to`, or to `sink` where that is set.

    `on_line` gets each line instead; `watch` gets lines besides: whole ones as they come, many at once, and b"" at the
    end of the stream. With `whole_lines` no half line is passed on.
    """

    def __init__(
        self,
        stream: IO[bytes],
        copy_to: int,
        on_line: OnLine | None = None,
        watch: OnLines | None = None,
        whole_lines: bool = False,
    ) -> None:
        self.stream = stream
        self.tail = bytearray()
        self.copy_to = copy_to
        self.sink: OnLines | None = None
        self.last_at = time.monotonic()
        """When the child last wrote something."""
        self.recent = 0
        """Bytes since the last pause of PAUSE_S: earlier output has nothing to do with the child's end."""
        self._on_line = on_line
        self._watch = watch
        self._lines = Lines()
        self._whole_lines = whole_lines
        self._held = b""
        self.while_blocked: Callable[[], bool] = lambda: True
        """Called again and again while nobody reads what is passed on; returns whether to go on waiting."""
        self._lost_reader = False
        os.set_blocking(stream.fileno(), False)

    def copy(self) -> bool:
        """Passes on what can be read now. Returns False at the end of the stream."""
        try:
            data = b"" if self.stream.closed else os.read(self.stream.fileno(), READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            now = time.monotonic()
            self.recent = (self.recent if now - self.last_at < PAUSE_S else 0) + len(data)
            self.last_at = now
        self.tail += data
        del self.tail[:-TAIL_BYTES]
        if self._on_line is None:
            self._write(self._complete(data) if self._whole_lines else data)
        self._call_back(data)
        return bool(data)

    def _call_back(self, data: bytes) -> None:
        if self._on_line is None and self._watch is None:
            return
        lines = self._lines.feed(data)
        if self._on_line is not None:
            for line in filter(None, lines.split(b"\n")):
                self._on_line(line.decode("utf-8", "replace"))
        if self._watch is not None and lines:
            self._watch(lines)
        if self._watch is not None and not data:
            self._watch(b"")

    def _write(self, data: bytes) -> None:
        """Writes to a pipe that may stay full for a long time. Once `while_blocked` gives the reader up, the rest is
        lost, so that the child can go on.

        A pipe that poll reports as writable takes PIPE_BUF bytes at once without blocking, and not mixed with those of
        other writers: `whole_lines` cuts only at the end of a line, unless the line is longer than that.
        """
        if self.sink is not None:
            if data:
                self.sink(data)
            return
        writable = select.poll()
        writable.register(self.copy_to, select.POLLOUT)
        with contextlib.suppress(OSError):  # that the reader has gone does not stop the child
            at = 0
            while at < len(data):
                end = at + select.PIPE_BUF
                if self._whole_lines and end < len(data):
                    end = max(data.rfind(b"\n", at, end), data.rfind(b"\r", at, end)) + 1 or end
                while not writable.poll(0 if self._lost_reader else BLOCKED_MS):
                    self._lost_reader = not self.while_blocked()
                    if self._lost_reader:
                        return
                self._lost_reader = False
                at += os.write(self.copy_to, data[at:end])

    def _complete(self, data: bytes) -> bytes:
        """Returns what can be passed on without cutting a line; those of a progress bar end with a carriage return."""
        held = self._held + data
        end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
        if not data or len(held) - end > LONGEST_HELD:
            end = len(held)
        self._held = held[end:]
        return held[:end]
