"""How a supervisor hands its children over to its guardian, in case that it is killed (see guardian.py)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence

from byo_container.container.process.output import Output


class GuardianLink:
    """Sends the pid of each child and the pipes that it writes to, for a process has to hold the pipes' other ends. A
    supervisor without a guardian has no socket, and sends nothing."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None

    def announce(self, pid: int, outputs: Sequence[Output]) -> None:
        """Sends one child to the guardian, if there is one."""
        if self.socket:
            numbers = [pid, *(output.copy_to for output in outputs)]
            pipes = [output.stream.fileno() for output in outputs]
            with contextlib.suppress(OSError):  # the guardian has ended, or the socket is full
                socket.send_fds(self.socket, [json.dumps(numbers).encode()], pipes)


def announced(source: socket.socket) -> Iterator[tuple[int, list[Output]]]:
    """All children that were announced, read at the guardian's end."""
    source.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            data, pipes, _, _ = socket.recv_fds(source, 4096, 2)
            if not data:
                return
            pid, *copy_to = json.loads(data)
            yield pid, [Output(os.fdopen(pipe, "rb", 0), to) for pipe, to in zip(pipes, copy_to, strict=False)]


guardian_link = GuardianLink()
"""Of this process."""
