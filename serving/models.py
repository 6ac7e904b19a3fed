"""The model that a worker serves: what is loaded, and how a request body becomes an answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.util import wrap_errors

from container.failure import JobError, describe
from container.handler import (
    HandlerReference,
    InferenceScript,
    InputError,
    code_folders,
    find_for_serving,
    put_on_path,
)
from container.log import log
from container.paths import Paths
from serving import codecs
from serving.batching import Engine
from serving.errors import RequestError
from serving.settings import Settings

# Bodies above this are decoded and encoded beside the event loop, which would stand still for milliseconds.
LARGE_BODY = 32 * 1024


@dataclass(frozen=True)
class Request:
    """What a client sent to /invocations. `header` looks up any other header by name."""

    body: bytes
    content_type: str
    accept: str
    header: Callable[[str], str]


@dataclass(frozen=True)
class Reply:
    body: bytes
    content_type: str
    status: int = 200


class Servable(Protocol):
    """A model and the code around it. `load` and `compute` run in compute threads."""

    batch_size: int

    def load(self) -> None:
        """Loads the model."""

    def compute(self, items: list[Any]) -> list[Any]:
        """One outcome for each item that `respond` submits; an exception in place of one fails it alone."""

    def respond(self, request: Request, submit: Callable[[Any], Any]) -> Reply:
        """Answers one request, in the event loop. Raises RequestError."""


class HandlerModel:
    """A model behind a handler: decode → predict, batched → encode."""

    def __init__(self, reference: HandlerReference, model_dir: Path, settings: Settings) -> None:
        self.batch_size = settings.batch_size
        self._reference = reference
        self._model_dir = model_dir
        self._default_accept = settings.default_accept
        if codecs.ALIASES.get(self._default_accept, self._default_accept) not in codecs.ENCODERS:
            raise JobError(
                f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {self._default_accept!r}; "
                f"it must be one of {', '.join(codecs.ENCODERS)}"
            )

    def load(self) -> None:
        handler_class = self._reference.load()
        for method in ("load", "predict"):
            if not hasattr(handler_class, method):
                raise JobError(f"{self._reference.target} has no method {method}, so it cannot be served")
        self._handler = handler_class()
        self._model = self._handler.load(self._model_dir)

    def respond(self, request: Request, submit: Callable[[Any], Any]) -> Reply:
        media = codecs.content_type(request.content_type)
        answer_type = codecs.accepted(request.accept, self._default_accept)
        beside = _beside_loop if len(request.body) > LARGE_BODY else _in_loop
        inputs, many = beside(codecs.decode, request.body, media)
        outputs = submit(inputs)
        for number, output in enumerate(outputs, 1):
            if isinstance(output, InputError):
                raise RequestError(400, f"record {number}: {output}" if many else str(output))
        return Reply(beside(codecs.encode, outputs, many, answer_type), answer_type)

    def compute(self, items: list[list[Any]]) -> list[Any]:
        """`predict` on the inputs of all requests at once; where that fails, on each request's by itself."""
        try:
            outputs = self._predict(list(chain.from_iterable(items)))
        except (Exception, SystemExit) as error:
            if len(items) == 1:
                return [RequestError(400, str(error)) if isinstance(error, InputError) else error]
            return list(chain.from_iterable(self.compute([item]) for item in items))
        remaining = iter(outputs)
        return [[next(remaining) for _ in item] for item in items]

    def _predict(self, inputs: list[Any]) -> list[Any]:
        outputs = list(self._handler.predict(self._model, inputs))
        if len(outputs) != len(inputs):
            raise TypeError(
                f"{self._reference.target}.predict returned {len(outputs)} outputs for {len(inputs)} inputs; "
                "it must return as many, in the same order"
            )
        return outputs


def _in_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _beside_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    # Errors are handed over as values: gevent would print a traceback for what is only a client's mistake.
    outcome = gevent.get_hub().threadpool.apply(wrap_errors(Exception, function), arguments)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def find(paths: Paths, settings: Settings) -> Servable:
    """What serves the model below `paths.root`, not loaded yet. Raises JobError."""
    put_on_path(code_folders(paths))
    found = find_for_serving(paths)
    if isinstance(found, InferenceScript):
        from serving.inference_script import ScriptModel

        return ScriptModel(found.path, paths.model, settings)
    return HandlerModel(found, paths.model, settings)


class ModelServer:
    """One worker's model from start to end: being loaded, ready, or failed.

    `marker` is a file that says that some worker is ready; workers share nothing else.
    """

    def __init__(self, servable: Servable, settings: Settings, marker: Path) -> None:
        self.failure = ""
        self.on_retire: Callable[[], None] = lambda: None
        self._servable = servable
        self._marker = marker
        self._loaded = False
        self.engine = Engine(
            servable.compute,
            batch_size=servable.batch_size,
            threads=settings.threads,
            timeout_s=settings.timeout_s,
            prepare=self._load,
            on_stuck=lambda: self.on_retire(),
        )

    def _load(self) -> None:
        try:
            self._servable.load()
        except BaseException as error:  # SystemExit too: the worker must stay, to answer 500
            reason = describe(error) if isinstance(error, JobError) else ""
            self.failure = reason or f"{type(error).__name__}: {error}"
            log.error("the model cannot be loaded: %s", self.failure, exc_info=not reason)
        self._loaded = True
        if not self.failure:
            self._marker.touch()
            log.info("the model is loaded")

    @property
    def settled(self) -> bool:
        """Whether loading has ended, well or not."""
        return self._loaded

    def ping(self) -> int:
        """The status of /ping: 200 with a model, 503 while the first worker still loads it, 500 after a failure."""
        if self.failure:
            return 500
        return 200 if self._loaded or self._marker.exists() else 503

    def respond(self, request: Request) -> Reply:
        """Answers one request. Raises RequestError."""
        if self.failure:
            raise RequestError(500, "the model could not be loaded; the log of the server says why")
        if not self._loaded and not self._marker.exists():
            raise RequestError(503, "the model is still being loaded; try again", (("Retry-After", "5"),))
        return self._servable.respond(request, self.engine.submit)


def marker_path() -> Path:
    """The file that says that some worker is ready, in the folder that `serve` makes for one run."""
    return Path(os.environ["BYO_SERVE_RUNTIME"]) / "ready"
