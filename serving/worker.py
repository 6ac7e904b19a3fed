"""gunicorn's gevent worker, without the part that we must not have."""

from __future__ import annotations

from typing import Any

from gevent import socket
from gunicorn.workers.ggevent import GeventWorker


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves HTTP in greenlets, and leaves Python's own threads, locks and sockets as they are.

    gunicorn's worker patches the whole standard library for gevent. Ours computes in native threads: a model's
    locks and thread pools must stay real ones, and its downloads need no event loop.
    """

    sockets: list[Any]

    def patch(self) -> None:
        self.sockets = [socket.socket(s.FAMILY, socket.SOCK_STREAM, fileno=s.sock.detach()) for s in self.sockets]
