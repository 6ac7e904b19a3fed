"""A connection that carries messages and never waits, and names that resolve sooner or later."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from byo_container.container.process.child import Command
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster.protocol import Message, MessageError, encode, parse

LINE_LENGTH = 1 << 20  # bytes, of a host of the job
UNKNOWN_LINE_LENGTH = 1024  # of a connection of which nobody knows yet whose it is
READS = 16  # of 64 KiB each, until other connections get their turn
LOOK_UP = Path(__file__).resolve().parent.parent / "processes" / "look_up.py"


class Link:
    """One connection, read and written without ever waiting. `peer` is its address, for people."""

    def __init__(self, connection: socket.socket, peer: str) -> None:
        self.socket = connection
        self.peer = peer
        self.host = ""
        """Whose it is; empty until `identify`."""
        self.challenge = ""
        """The first host's nonce, as long as no proof has been given for it."""
        self.nonce = ""
        """The other host's nonce."""
        self.opened_at = self.heard_at = time.monotonic()
        self.open = True
        self._line_length = UNKNOWN_LINE_LENGTH
        self._in = b""
        self._out = b""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def identify(self, host: str) -> None:
        """Takes it for the connection of `host`, which may say more than a stranger."""
        self.host = host
        self._line_length = LINE_LENGTH

    def send(self, message: Message) -> None:
        self._out += encode(message)
        self.flush()

    def flush(self) -> bool:
        """Writes what the kernel takes now; says whether that was all."""
        try:
            while self._out and self.open:
                self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            return False
        except OSError:
            self._out = b""  # reading will show the end of the connection
        return True

    def receive(self) -> Iterator[Message]:
        """The messages that have come; each is to be heeded before the next is asked for, because it may say whose
        connection this is. At the end of the connection `open` is False. Raises MessageError."""
        for _ in range(READS):
            data = self._read()
            if not data:
                return
            self.heard_at = time.monotonic()
            *lines, self._in = (self._in + data).split(b"\n")
            for line in lines:
                self._refuse_length(line)
                yield parse(line)
                if not self.open:
                    return
            self._refuse_length(self._in)

    def _read(self) -> bytes:
        """What has come, b"" for nothing; the end of the connection closes it."""
        try:
            data = self.socket.recv(65536) if self.open else b""
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.close()
        return data

    def _refuse_length(self, line: bytes) -> None:
        if len(line) > self._line_length:
            raise MessageError(f"a line of more than {self._line_length} bytes")

    def close(self) -> None:
        self.open = False
        self.socket.close()


class Names:
    """Which hosts' names resolve. A process asks; see training/processes/look_up.py."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.unknown = set(hosts)

    def ask(self, supervisor: Supervisor) -> None:
        """Goes on asking while `supervisor` waits, until all are known."""
        if self.unknown:
            argv = [sys.executable, "-I", "-S", str(LOOK_UP), *sorted(self.unknown)]
            name = "the look-up of the hosts' names"
            supervisor.start(Command(argv, name, on_line=self.unknown.discard, background=True))
