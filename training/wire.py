"""A connection that carries messages and never waits, and names that resolve sooner or later."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]
LINE_LENGTH = 1 << 20


class Link:
    """One connection, read and written without ever waiting."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.host = ""
        self.heard_at = time.monotonic()
        self.open = True
        self._in = b""
        self._out = b""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, **message: Any) -> None:
        self._out += json.dumps(message).encode() + b"\n"
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

    def receive(self) -> list[Message]:
        """The messages that have come. At the end of the connection `open` is False."""
        try:
            while self.open:
                data = self.socket.recv(65536)
                self._in += data
                if not data or len(self._in) > LINE_LENGTH:
                    self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        *lines, self._in = self._in.split(b"\n")
        self.heard_at = time.monotonic()
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:  # a stranger: nobody of ours
            self.close()
            return []
        return [message for message in messages if isinstance(message, dict) and message]

    def close(self) -> None:
        self.open = False
        self.socket.close()


class Names:
    """Which hosts' names resolve. A thread asks, because asking may block for longer than a heartbeat may fail to
    come; it ends as soon as all are known."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.unknown = set(hosts)
        threading.Thread(target=self._ask, args=(hosts,), daemon=True).start()

    def _ask(self, hosts: Sequence[str]) -> None:
        while self.unknown:
            for host in hosts:
                if host in self.unknown:
                    with contextlib.suppress(OSError, UnicodeError):
                        socket.getaddrinfo(host, None)
                        self.unknown.discard(host)
            time.sleep(0.2)
