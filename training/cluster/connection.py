"""A connection that carries messages and never blocks."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

from byo_container.training.cluster.protocol import Message, MessageError, encode, parse

LINE_LENGTH = 1 << 20  # bytes, from a host of the job
UNIDENTIFIED_LINE_LENGTH = 1024  # from a peer that has not proved which host it is
# From such a peer in all: a greeting and its heartbeats are a tenth of it. Reading any number of messages, however
# short, would leave this host no time for the others.
UNIDENTIFIED_BYTES = 4096
READS = 16  # of 64 KiB each, until other connections get their turn


class LineBuffer:
    """Cuts what comes into lines. `limit` is the largest number of bytes in one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes. Raises MessageError where one, or what may become one, is too long. `limit`
        may change between two lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._check(line)
            yield line
        self._check(self._rest)

    def _check(self, line: bytes) -> None:
        if len(line) > self.limit:
            raise MessageError(f"a line of more than {self.limit} bytes")


class Connection:
    """One connection, read and written without blocking."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.is_open = True
        """Whether this end is open."""
        self.is_at_end = False
        """Whether the other end is closed, or the connection is broken."""
        self._buffer = LineBuffer(UNIDENTIFIED_LINE_LENGTH)
        self._bytes_left: float = UNIDENTIFIED_BYTES
        self._unsent = b""
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def allow_long_lines(self) -> None:
        """For a peer that has proved which host it is."""
        self._buffer.limit = LINE_LENGTH
        self._bytes_left = math.inf

    def send(self, message: Message) -> None:
        self._unsent += encode(message)
        self.flush()

    def flush(self) -> None:
        """Sends as much as the kernel takes now."""
        try:
            while self._unsent and self.is_open:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent = b""  # reading will show the end of the connection

    def read(self) -> Iterator[bytes]:
        """What has come, in pieces. Sets `is_at_end` at the end of the connection."""
        for _ in range(READS):
            try:
                data = self.socket.recv(65536) if self.is_open else b""
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.is_at_end = True
                return
            yield data

    def messages(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes. Each is to be handled before the next one is taken, because it may
        identify the peer, or close this connection. Raises MessageError."""
        for line in self._buffer.feed(data):
            self._bytes_left -= len(line)
            if self._bytes_left < 0:
                raise MessageError(f"more than {UNIDENTIFIED_BYTES} bytes before it had joined")
            yield parse(line)
            if not self.is_open:
                return

    def close(self) -> None:
        self.is_open = False
        self.socket.close()
