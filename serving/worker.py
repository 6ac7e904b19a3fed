"""gunicorn's gevent worker, without the part that we must not have."""

from __future__ import annotations

import os
import socket as native
import time
from contextlib import suppress
from typing import Any

from gevent import socket
from gunicorn import util
from gunicorn.workers.ggevent import GeventWorker

from serving.errors import error_body

# nginx would stay with the connections that it has: a worker that comes back would never get a request.
CONNECTION_S = 5.0


def write_error(sock: Any, status: int, reason: str, message: str) -> None:
    """gunicorn's own errors, for requests that it refuses to read, in the same shape as the application's."""
    body = error_body(status, message or "the server failed; its log says why")
    head = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    util.write_nonblock(sock, f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)


util.write_error = write_error


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves HTTP in greenlets, and leaves Python's own threads, locks and sockets as they are.

    gunicorn's worker patches the whole standard library for gevent. Ours computes in native threads: a model's
    locks and thread pools must stay real ones, and its downloads need no event loop.
    """

    sockets: list[Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._opened: dict[Any, float] = {}  # connections, and when they were made
        self._idle: set[Any] = set()  # those without a request at the moment

    def patch(self) -> None:
        self.sockets = [socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach()) for s in self.sockets]

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        self._opened[client] = time.monotonic()
        self._idle.add(client)
        try:
            super().handle(listener, client, addr)
        finally:
            self._idle.discard(client)
            del self._opened[client]

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self._idle.discard(sock)
        if time.monotonic() - self._opened[sock] > CONNECTION_S:
            req.force_close()  # said in the answer, so that nothing is sent into a closed connection
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            self._idle.add(sock)

    def notify(self) -> None:
        """Once a second. A worker that is to end waits for its connections, and an idle one would keep it for as
        long as it may: no more is read from those, but for a request that has arrived already."""
        super().notify()
        if not self.alive:
            for client in self._idle:
                # By a socket that gevent does not know: it would raise in the greenlet that waits for the client.
                with suppress(OSError), native.socket(fileno=os.dup(client.fileno())) as twin:
                    twin.shutdown(native.SHUT_RD)
