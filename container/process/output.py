"""What a child writes: passed on as it comes, its end kept, its lines shown to whom they concern."""

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
BLOCKED_MS = 250
PAUSE_S = 10.0

OnLine = Callable[[str], None]
OnLines = Callable[[bytes], None]


class Lines:
    """Whole lines out of pieces. They come in blocks: a Python call for each line of a log would hold back the
    program that writes it."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes; b"" is the end of the stream, and what is left a line too."""
        end = data.rfind(b"\n") + 1
        if data and not end:
            self._rest = (self._rest + data)[-LONGEST_LINE:]  # a progress bar writes over one line: its end counts
            return b""
        lines, self._rest = self._rest + data[:end], data[end:][-LONGEST_LINE:]
        return lines


class Output:
    """One stream of a child. `on_line` gets its lines in place of `copy_to`, `watch` beside it: whole lines as they
    come, many at once, and b"" at the end of the stream. `whole_lines` passes on no half ones."""

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
        self.last_at = time.monotonic()
        """When anything was last written."""
        self.recent = 0
        """Bytes since the last pause of PAUSE_S: what was written before has nothing to do with the end."""
        self._on_line = on_line
        self._watch = watch
        self._lines = Lines()
        self._whole_lines = whole_lines
        self._held = b""
        self.while_blocked: Callable[[], bool] = lambda: True
        """Called again and again while nobody reads what we pass on; whether to go on waiting for a reader."""
        self._lost_reader = False
        os.set_blocking(stream.fileno(), False)

    def copy(self) -> bool:
        """Passes on what there is now; False at the end of the stream."""
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
        self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
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
        """Writes to a pipe that may be full for as long as its reader pleases. What is left when nobody waits for the
        reader any more is lost: whoever wrote it is to go on.

        A pipe that poll says is writable takes PIPE_BUF bytes at once without blocking, and without those of other
        writers in between: `whole_lines` cuts only where a line ends, unless it is longer than that.
        """
        writable = select.poll()
        writable.register(self.copy_to, select.POLLOUT)
        with contextlib.suppress(OSError):  # nobody reads our output: no reason to stop a training
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
        """What can be passed on without cutting a line (a progress bar's end with a carriage return)."""
        held = self._held + data
        end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
        if not data or len(held) - end > LONGEST_LINE:
            end = len(held)
        self._held = held[end:]
        return held[:end]
