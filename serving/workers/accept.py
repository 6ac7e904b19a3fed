"""A worker's socket that leaves connections to other workers while this one is busy.

The queue in front of the workers is this socket's: as long as it may be (MODEL_SERVER_QUEUE_SIZE) while the model is
slow, and what is beyond nginx refuses at once with 503.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from gevent.server import StreamServer

from byo_container.serving.api.app import ENGINE
from byo_container.serving.engine.engine import FAST_QUEUE, Engine
from byo_container.serving.metrics.worker_state import others_free, ready_workers
from byo_container.serving.workers import direct_clients

# The socket for predictions, behind nginx. /ping has one of its own, to which every worker listens all the time.
PREDICTIONS = "gunicorn.sock"
# How soon a busy worker looks whether all others are busy too.
LOOK_AGAIN_S = 0.003


class Listener(StreamServer):  # type: ignore[misc]
    """Accepts one connection a turn, and on the socket for predictions only what it can do something about.

    All workers listen on the same socket. One whose model computes for seconds has a free event loop and accepts at
    once; what it took would wait there for the model, while another worker has nothing to do. Where all are busy, a
    worker that makes batches collects its next one. One that still loads its model leaves all to those that have.
    """

    # The arguments are those that gunicorn gives to a `server_class`.
    def __init__(
        self, listener: Any, *, application: Flask, spawn: Any, handler_class: Callable[..., None], **_: Any
    ) -> None:
        super().__init__(listener, partial(handler_class, listener), spawn=spawn)
        self.max_accept = 1
        self._engine: Engine | None = None
        self._backlog = 0
        name = listener.getsockname()
        self._direct = not isinstance(name, str)
        if str(name).endswith(PREDICTIONS):
            self._engine = application.extensions[ENGINE]
            self._engine.on_delivered = self._go_on
            self._again = self.loop.timer(LOOK_AGAIN_S)

    def do_read(self) -> tuple[Any, Any] | None:
        accepted = super().do_read()
        if accepted and self._direct:
            return direct_clients.client(accepted[0]), accepted[1]
        return accepted  # type: ignore[no-any-return]

    def _do_read(self) -> None:
        engine = self._engine
        if engine is None:
            super()._do_read()
        elif not engine.load_finished and ready_workers():
            self._look_again()
        elif not engine.all_threads_busy and engine.has_enough_queued:
            self._look_again()  # what is taken now would wait here, behind the queue's end
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
        self._again.start(self._start_accepting_if_started)

    def _go_on(self) -> None:
        """After each delivery of the engine."""
        self._start_accepting_if_started()
        assert self._engine is not None
        if not self._engine.above_latency_threshold and self._backlog == FAST_QUEUE:
            return
        # How many can be answered in time has become known anew. Not for every small change.
        limit = self._engine.queue_limit(ready_workers()) if self._engine.above_latency_threshold else FAST_QUEUE
        if not 0.8 < limit / (self._backlog or 1) < 1.25:
            self._backlog = limit
            self.socket.listen(limit)
