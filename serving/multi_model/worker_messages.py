"""Messages between the workers of a multi-model endpoint: a request to unload a model, and whether it succeeded.

Each worker listens on a Unix socket of its own in the run's folder. A request is one line of JSON, the answer another.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import orjson
from gevent import socket
from gevent.server import StreamServer

from byo_container.container.log import log

MAX_LINE = 1 << 20


class WorkerChannel:
    """This worker's socket, and requests to all the others'. `handle` answers a request of another worker."""

    def __init__(self, folder: Path, handle: Callable[[Any], Any]) -> None:
        self._folder = folder
        self._handle = handle
        folder.mkdir(parents=True, exist_ok=True)
        # A name that was never used: a worker that died may have had this process id.
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._path = folder / f"{name}.sock"
        building = folder / f"{name}.new"
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(building))
        listener.listen(64)
        # Only now can others see it: a socket that refuses connections passes for a dead worker's.
        building.rename(self._path)
        self._server = StreamServer(listener, self._serve)
        self._server.start()

    def ask_others(self, request: Any, timeout_s: float) -> list[Any]:
        """The answers of all other workers; None for one that does not answer within `timeout_s` or fails, True for one
        that has died."""
        others = [path for path in self._folder.glob("*.sock") if path != self._path]
        asking = [gevent.spawn(_ask, path, request, timeout_s) for path in others]
        gevent.joinall(asking)
        return [greenlet.value for greenlet in asking]

    def _serve(self, connection: Any, _: Any) -> None:
        with connection, connection.makefile("rb") as stream:
            line = stream.readline(MAX_LINE)
            if not line:  # the worker that asks has died
                return
            request = orjson.loads(line)
            try:
                answer = self._handle(request)
            except Exception:  # no answer at all would pass for a dead worker's
                log.exception("another worker's request %s has failed", request)
                answer = None
            connection.sendall(orjson.dumps(answer) + b"\n")


def _ask(path: Path, request: Any, timeout_s: float) -> Any:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(orjson.dumps(request) + b"\n")
            answer = connection.makefile("rb").readline(MAX_LINE)
        except (ConnectionError, FileNotFoundError):
            answer = b""
        except TimeoutError:
            log.warning("worker %s has not answered %s within %.0f s", path.stem, request, timeout_s)
            return None
    if answer:
        return orjson.loads(answer)
    path.unlink(missing_ok=True)  # its worker is dead, and so has freed everything
    return True
