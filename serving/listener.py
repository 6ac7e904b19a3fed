"""A worker's socket that leaves connections to other workers while this one is busy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from gevent.server import StreamServer

from serving.app import ENGINE
from serving.batching import Engine

# The socket for predictions, behind nginx. /ping has one of its own, to which every worker listens all the time.
PREDICTIONS = "gunicorn.sock"


class Listener(StreamServer):  # type: ignore[misc]
    """Accepts one connection a turn, and on the socket for predictions none while the model is busy.

    All workers listen on the same socket. One whose model computes for seconds has a free event loop and accepts at
    once; what it took would wait there for the model, while another worker has nothing to do.
    """

    # The arguments are those that gunicorn gives to a `server_class`.
    def __init__(
        self, listener: Any, *, application: Flask, spawn: Any, handler_class: Callable[..., None], **_: Any
    ) -> None:
        super().__init__(listener, partial(handler_class, listener), spawn=spawn)
        self.max_accept = 1
        self._engine: Engine | None = None
        if str(listener.getsockname()).endswith(PREDICTIONS):
            self._engine = application.extensions[ENGINE]
            self._engine.on_delivered = self._start_accepting_if_started

    def _do_read(self) -> None:
        if self._engine and self._engine.busy:
            self.stop_accepting()  # until the engine has delivered something
        else:
            super()._do_read()
