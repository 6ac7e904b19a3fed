"""What a child writes: passed on as it comes, its end kept, its lines shown to whom they concern."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Iterator
from typing import IO

TAIL_BYTES = 64 * 1024
LONGEST_LINE = 8 * 1024
BLOCKED_MS = 250

OnLine = Callable[[str], None]


class Lines:
    """Whole lines out of pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that `data` completes; b"" is the end of the stream, and what is left a line too."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-LONGEST_LINE:]  # a progress bar writes over one line for hours: its end counts
        if not data:
            lines, self._rest = [*lines, self._rest], b""
        for line in filter(None, lines):
            yield line.decode("utf-8", "replace")


class Output:
    """One stream of a child. `on_line` gets its lines in place of `copy_to`, `watch` beside it; `whole_lines` passes
    on no half ones."""

    def __init__(
        self,
        stream: IO[bytes],
        copy_to: int,
        on_line: OnLine | None = None,
        watch: OnLine | None = None,
        whole_lines: bool = False,
    ) -> None:
        self.stream = stream
        self.tail = bytearray()
        self.copy_to = copy_to
        self._passes_on = on_line is None
        self._readers = [(reader, Lines()) for reader in (on_line, watch) if reader]
        self._whole_lines = whole_lines
        self._held = b""
        self.while_blocked: Callable[[], None] = lambda: None
        """Called again and again while nobody reads what we pass on."""
        os.set_blocking(stream.fileno(), False)

    def copy(self) -> bool:
        """Passes on what there is now; False at the end of the stream."""
        try:
            data = b"" if self.stream.closed else os.read(self.stream.fileno(), 65536)
        except BlockingIOError:
            return True
        self.tail += data
        del self.tail[:-TAIL_BYTES]
        if self._passes_on:
            _write_all(self.copy_to, self._complete(data) if self._whole_lines else data, self.while_blocked)
        for reader, lines in self._readers:
            for line in lines.feed(data):
                reader(line)
        return bool(data)

    def _complete(self, data: bytes) -> bytes:
        """What can be passed on without cutting a line (a progress bar's end with a carriage return)."""
        held = self._held + data
        end = max(held.rfind(b"\n"), held.rfind(b"\r")) + 1
        if not data or len(held) - end > LONGEST_LINE:
            end = len(held)
        self._held = held[end:]
        return held[:end]


def _write_all(fd: int, data: bytes, while_blocked: Callable[[], None]) -> None:
    """Writes to a pipe that may be full for as long as its reader pleases."""
    writable = select.poll()
    writable.register(fd, select.POLLOUT)
    with contextlib.suppress(OSError):  # nobody reads our output: no reason to stop a training
        view = memoryview(data)
        while view:
            while not writable.poll(BLOCKED_MS):
                while_blocked()
            # A pipe that is said to be writable takes this much without blocking.
            view = view[os.write(fd, view[: select.PIPE_BUF]) :]
