"""The one model that a worker serves: being loaded, ready, or failed."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import gevent

from byo_container.container.failure import JobError, describe
from byo_container.container.handler import Conversation
from byo_container.container.log import log
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.streaming import compute_with_steps
from byo_container.serving.errors import RequestError
from byo_container.serving.metrics import prometheus
from byo_container.serving.metrics.worker_state import WorkerState, any_worker_was_ready, enter
from byo_container.serving.models.servable import Reply, Request, Servable
from byo_container.serving.settings import Settings

# How soon a request that came to a worker too early looks again whether its model is loaded.
LOADED_POLL_S = 0.01


class ModelServer:
    """One worker's model from start to end: being loaded, ready, or failed.

    `only` says that it is the worker's only model, so that the worker is ready when the model is.
    """

    def __init__(self, servable: Servable, settings: Settings, only: bool = False) -> None:
        self.failure = ""
        self.out_of_memory = False
        self._pid = os.getpid()
        self.on_retire: Callable[[], None] = lambda: None
        self._servable = servable
        self._only = only
        self._loaded = False
        self._timeout_s = settings.timeout_s
        self.engine = Engine(
            partial(compute_with_steps, servable.compute),
            batching=lambda: servable.batch_policy,
            threads=settings.threads,
            timeout_s=settings.timeout_s,
            queue_size=settings.queue_size,
            prepare=self._load,
            on_stuck=lambda: self.on_retire(),
        )

    def _load(self) -> None:
        try:
            self._servable.load()
        except BaseException as error:  # SystemExit too: the worker must stay, to answer 500
            reason = describe(error) if isinstance(error, JobError) else ""
            # By traceback, for the text of an exception may raise another one.
            self.failure = reason or traceback.format_exception_only(error)[-1].strip()
            self.out_of_memory = isinstance(error, MemoryError)
            log.error("the model cannot be loaded: %s", self.failure, exc_info=not reason)
        if os.getpid() != self._pid:
            os._exit(0)  # a copy that the model's code has made by os.fork(): it is not this worker
        self._loaded = True
        if self._only:
            enter(WorkerState.FAILED if self.failure else WorkerState.READY)
            prometheus.models.set(not self.failure)
        if not self.failure:
            log.info("the model is loaded")

    @property
    def settled(self) -> bool:
        """Whether loading has ended, well or not."""
        return self._loaded

    def ping(self) -> int:
        """The status of /ping: 200 with a model, 503 while the first worker still loads it, 500 after a failure."""
        if self.failure:
            return 500
        return 200 if self._loaded or self._served_elsewhere() else 503

    def respond(self, request: Request) -> Reply:
        """Answers one request. Raises RequestError."""
        self._await_model()
        return self._servable.respond(request, partial(self.engine.submit, waited_s=request.waited_s))

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        return self._servable.execution_parameters

    @property
    def description(self) -> dict[str, Any]:
        """What a person is told of the model, and of whether it is there."""
        state = self.failure or ("loaded" if self._loaded else "being loaded")
        return {**self._servable.description, "state": state}

    def _await_model(self) -> None:
        """Raises RequestError where there is no model to ask. While only this worker still loads its own, waits."""
        deadline = time.monotonic() + self._timeout_s
        while not self._loaded and self._served_elsewhere() and time.monotonic() < deadline:
            gevent.sleep(LOADED_POLL_S)
        if self.failure:
            raise RequestError(500, "the model could not be loaded; the log of the server says why")
        if not self._loaded:
            raise RequestError(503, "the model is still being loaded; try again", (("Retry-After", "5"),))

    def converse(self, message: str | bytes, conversation: Conversation) -> Iterator[Any]:
        """The answers to one message of a WebSocket, as they come. Raises RequestError."""
        self._await_model()
        return self._servable.converse(message, conversation, self.engine.submit)

    def _served_elsewhere(self) -> bool:
        return self._only and any_worker_was_ready()
