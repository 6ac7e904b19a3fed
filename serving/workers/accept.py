"""When a worker accepts connections: not while another one could answer sooner.

The queue in front of the workers is the socket's own backlog: while the model is slow it holds as many requests as
MODEL_SERVER_QUEUE_SIZE says, and nginx refuses further ones at once with 503.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gevent.server import StreamServer

from byo_container.serving.api.app import Application
from byo_container.serving.engine.engine import FAST_QUEUE, Engine
from byo_container.serving.metrics.worker_state import others_free, ready_workers
from byo_container.serving.run_folder import PREDICTIONS_SOCKET
from byo_container.serving.workers import direct_clients

# How soon a busy worker looks again whether all others are busy too.
LOOK_AGAIN_S = 0.003


class Listener(StreamServer):  # type: ignore[misc]
    """One socket of a worker: behind nginx that for predictions or that for /ping and /metrics, else the only one.

    All workers listen on the same sockets. gevent calls `_do_read` in the event loop while connections wait.
    """

    def __init__(
        self, listener: Any, *, application: Application, spawn: Any, handler_class: Callable[..., None], **_: Any
    ) -> None:
        """The arguments are those that gunicorn gives to a `server_class`."""
        super().__init__(listener, partial(handler_class, listener), spawn=spawn)
        self.max_accept = 1  # at a time, so that the other workers have their turn
        name = listener.getsockname()
        self._is_direct = not isinstance(name, str)  # else a Unix socket, behind nginx
        self._engine = None if self._is_direct or Path(name).name != PREDICTIONS_SOCKET else application.model.engine
        if self._engine:
            self._backlog = Backlog(self.socket, self._engine)
            self._engine.on_delivered = self._accept_again
            self._timer_to_look_again = self.loop.timer(LOOK_AGAIN_S)

    def do_read(self) -> tuple[Any, Any] | None:
        """Accepts a connection."""
        accepted = super().do_read()
        if accepted and self._is_direct:
            return direct_clients.client(accepted[0]), accepted[1]
        return accepted  # type: ignore[no-any-return]

    def _do_read(self) -> None:
        """Accepts a connection, or leaves it to another worker.

        A worker whose model computes for seconds has a free event loop and could accept at once. But the request would
        wait here for the model, while another worker has nothing to do. Where all are busy, a worker that batches
        collects its next batch. A worker that still loads its model leaves all requests to those that have it.
        """
        engine = self._engine
        if engine is None:
            super()._do_read()
        elif not engine.load_finished and ready_workers():
            self._look_again()
        elif not engine.all_threads_busy and engine.has_enough_queued:
            self._look_again()  # the request would wait here, at the end of the queue
        elif not engine.all_threads_busy:
            super()._do_read()
        elif not engine.can_collect_next_batch(batches=2 if ready_workers() < 2 else 1):
            self.stop_accepting()  # until the engine has delivered something
        elif others_free():
            self._look_again()
        else:
            super()._do_read()

    def _look_again(self) -> None:
        self.stop_accepting()
        self._timer_to_look_again.start(self._start_accepting_if_started)

    def _accept_again(self) -> None:
        """The engine has delivered something."""
        self._start_accepting_if_started()
        self._backlog.adapt()


class Backlog:
    """How many connections the kernel holds for the workers: no more than can be answered in time."""

    def __init__(self, sock: Any, engine: Engine) -> None:
        self._sock = sock
        self._engine = engine
        self._limit = 0  # as it was set last

    def adapt(self) -> None:
        """Sets the limit by what the model has taken lately, but not for every small change."""
        is_slow = self._engine.above_latency_threshold
        if not is_slow and self._limit == FAST_QUEUE:
            return
        limit = self._engine.queue_limit(ready_workers()) if is_slow else FAST_QUEUE
        if not 0.8 < limit / (self._limit or 1) < 1.25:
            self._limit = limit
            self._sock.listen(limit)
