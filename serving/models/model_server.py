"""The one model that a worker serves: being loaded, ready, or failed."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import gevent

from byo_container.container.failure import JobError, describe
from byo_container.container.handler import Conversation
from byo_container.container.log import log
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.errors import RequestError
from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.worker_state import WorkerState, any_worker_was_ready, enter, want_replacement
from byo_container.serving.models.servable import Reply, Request, Servable
from byo_container.serving.settings import Settings

# How soon a request that came to a worker too early looks again whether its model is loaded.
LOADED_POLL_S = 0.01


class ModelServer:
    """One worker's model from start to end: being loaded, ready, or failed. It is what the engine runs (engine.Model).

    `find` returns what serves the model in `model_dir`. It is called when the model is loaded: one that nothing can
    serve is then a model that cannot be loaded, like any other, and does not end the process. `only` says that it is
    the worker's only model, so that the worker is ready when the model is."""

    _servable: Servable  # once it is found

    def __init__(self, find: Callable[[], Servable], model_dir: Path, settings: Settings, only: bool = False) -> None:
        self.failure = ""
        """Why the model could not be loaded."""
        self.failed_for_memory = False
        """Whether loading ended with a MemoryError."""
        self.load_finished = False
        """Whether the model was loaded, or could not be."""
        self.batch_policy = BatchPolicy()
        self.execution_parameters: Mapping[str, Any] = {}
        self._find = find
        self._facts: dict[str, Any] = {"model": str(model_dir)}
        self._only = only
        self._timeout_s = settings.timeout_s
        self._pid = os.getpid()
        # The last one: its first thread begins to load at once.
        self.engine = Engine(
            self, threads=settings.threads, timeout_s=settings.timeout_s, queue_size=settings.queue_size
        )

    # --- what the engine runs ---------------------------------------------------------------------

    def load(self) -> None:
        try:
            self._servable = self._find()
            self._facts = self._servable.description
            self._servable.load()
            self.batch_policy = self._servable.batch_policy
            self.execution_parameters = self._servable.execution_parameters
        except BaseException as error:  # SystemExit too: the worker must stay, to answer 500
            reason = describe(error) if isinstance(error, JobError) else ""
            # By traceback, for the text of an exception may raise another one.
            self.failure = reason or traceback.format_exception_only(error)[-1].strip()
            self.failed_for_memory = isinstance(error, MemoryError)
            log.error("the model cannot be loaded: %s", self.failure, exc_info=not reason)
        if os.getpid() != self._pid:
            os._exit(0)  # a copy that the model's code has made by os.fork(): it is not this worker
        if self._only:
            enter(WorkerState.FAILED if self.failure else WorkerState.READY)
            prometheus.models.set(not self.failure)
        self.load_finished = True  # last: from now on the worker decides by its state whether it accepts
        if not self.failure:
            log.info("the model is loaded")

    def context(self) -> AbstractContextManager[Any]:
        return self._servable.context()

    def compute(self, items: list[Any]) -> list[Any]:
        return self._servable.compute(items)

    def on_stuck(self) -> None:
        want_replacement()

    # --- what clients ask -------------------------------------------------------------------------

    def ping(self) -> int:
        """The status of /ping: 200 with a model, 503 while the first worker still loads it, 500 after a failure."""
        if self.failure:
            return 500
        return 200 if self.load_finished or self._is_served_elsewhere() else 503

    def respond(self, request: Request) -> Reply:
        """Answers one request. Raises RequestError."""
        self._await_model()
        return self._servable.respond(request, self.engine)

    def converse(self, message: str | bytes, conversation: Conversation) -> Iterator[Any]:
        """The answers to one message of a WebSocket, as they come. Raises RequestError."""
        self._await_model()
        return self._servable.converse(message, conversation, self.engine)

    @property
    def description(self) -> dict[str, Any]:
        """What the test page shows of the model and its state."""
        state = self.failure or ("loaded" if self.load_finished else "being loaded")
        return {**self._facts, "state": state}

    def _await_model(self) -> None:
        """Waits while another worker is ready and only this one still loads its model. Raises RequestError where there
        is no model to ask."""
        deadline = time.monotonic() + self._timeout_s
        while not self.load_finished and self._is_served_elsewhere() and time.monotonic() < deadline:
            gevent.sleep(LOADED_POLL_S)
        if self.failure:
            raise RequestError(500, "the model could not be loaded; the log of the server says why")
        if not self.load_finished:
            raise RequestError(503, "the model is still being loaded; try again", (("Retry-After", "5"),))

    def _is_served_elsewhere(self) -> bool:
        return self._only and any_worker_was_ready()
