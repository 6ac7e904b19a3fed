"""The model that a worker serves: what is loaded, and how a request body becomes an answer."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.util import wrap_errors

from byo_container.container.failure import JobError, describe
from byo_container.container.handler import (
    Conversation,
    HandlerReference,
    InferenceScript,
    InputError,
    code_folders,
    export_path,
    find_for_serving,
    put_on_path,
)
from byo_container.container.log import log
from byo_container.container.paths import Paths
from byo_container.serving import headers
from byo_container.serving.codecs import media_types
from byo_container.serving.codecs.large_answers import is_large
from byo_container.serving.dialects import envelopes
from byo_container.serving.dialects.envelopes import MANY, ONE, Form
from byo_container.serving.engine import bisect_failures, streaming
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import Batching
from byo_container.serving.engine.slices import Work
from byo_container.serving.engine.streaming import Step, Stream, compute_with_steps, stepping
from byo_container.serving.errors import RequestError
from byo_container.serving.headers import check_media_type
from byo_container.serving.memory_budget import LARGE_BODY, Share, of_worker
from byo_container.serving.metrics import prometheus
from byo_container.serving.models import execution_parameters as batch_transform
from byo_container.serving.models import sessions
from byo_container.serving.models.handler.class_check import made
from byo_container.serving.models.handler.predict import Asked, Predicting, batching_of
from byo_container.serving.settings import Settings

# How soon a request that has come to a worker too early looks whether its model is loaded.
LOADED_POLL_S = 0.01


@dataclass(slots=True)  # and not frozen: one is made for each request, and that would take two microseconds
class Request:
    """What a client sent to /invocations. `header` looks up any other header by name."""

    body: bytes
    content_type: str
    accept: str
    header: Callable[[str], str]
    waited_s: float = 0.0
    """How long it has waited for this worker, behind nginx."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """WSGI's, for who wants to see all of the headers."""


@dataclass(slots=True)
class Reply:
    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    stream: Stream | None = None
    """The body, where it comes part by part."""

    def __post_init__(self) -> None:
        """Raises ValueError for headers that would split the answer, whoever wrote them."""
        check_media_type(self.content_type)
        if self.headers:
            headers.check(self.headers)


class Servable(Protocol):
    """A model and the code around it. `load` and `compute` run in compute threads."""

    @property
    def batching(self) -> Batching:
        """How requests are put together; final once the model is loaded."""

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        """What the model's code says of batch transform; final once it is loaded."""

    @property
    def description(self) -> dict[str, Any]:
        """What a person is told of it."""

    def load(self) -> None:
        """Loads the model."""

    def compute(self, items: list[Any]) -> list[Any]:
        """One outcome for each item that `respond` submits; an exception in place of one fails it alone."""

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        """Answers one request, in the event loop, with the help of Engine.submit. Raises RequestError."""

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        """The answers to one message of a WebSocket, as they come. Raises RequestError."""


class HandlerModel:
    """A model behind a handler: decode → predict, batched → encode."""

    def __init__(self, reference: HandlerReference, model_dir: Path, settings: Settings) -> None:
        self.batching = Batching()
        self.execution_parameters: Mapping[str, Any] = {}
        self._settings = settings
        self._reference = reference
        self._model_dir = model_dir
        self._default_accept = settings.default_accept
        self._budgets = of_worker(settings.max_payload)
        if media_types.ALIASES.get(self._default_accept, self._default_accept) not in media_types.ENCODERS:
            raise JobError(
                f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is {self._default_accept!r}; "
                f"it must be one of {', '.join(media_types.ENCODERS)}"
            )

    @property
    def description(self) -> dict[str, Any]:
        return {"handler": self._reference.target, "told by": self._reference.told_by, "model": str(self._model_dir)}

    def load(self) -> None:
        handler = made(self._reference.load(), self._reference.target)
        self.batching = batching_of(handler, self._settings)
        self._batched = envelopes.wanted(handler, self._reference.target)
        self._squeezes = envelopes.wanted(handler, self._reference.target, "csv_squeeze")
        own = getattr(handler, "execution_parameters", {})
        self.execution_parameters = batch_transform.checked(own, self._reference.target)
        self._predicting = Predicting(handler, handler.load(self._model_dir), self._reference.target, self._settings)

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        with Share(self._budgets.values) as share:
            reply = self._respond(request, submit, share)
            if reply.stream:
                share.keep_until(reply.stream.on_close)
            return reply

    def _respond(self, request: Request, submit: Callable[..., Any], share: Share) -> Reply:
        media = media_types.content_type(request.content_type)
        answer_type = streaming.accepted(request.accept, self._default_accept)
        beside = _beside_loop if len(request.body) > LARGE_BODY else _in_loop
        began = time.perf_counter()
        inputs, many = self._decoded(request.body, media, share)
        form = MANY if many else ONE
        if self._batched and not many:
            inputs, form = beside(envelopes.split, inputs[0])
        if self._squeezes and media.name == media_types.CSV:
            inputs = beside(envelopes.squeezed, inputs)
        work = beside(self._predicting.work, inputs)
        prometheus.stages["decode"].observe(time.perf_counter() - began)
        if self._predicting.asks:
            return self._respond_asked(request, inputs, work, form, answer_type, submit)
        if form.parameters:
            raise RequestError(400, "this model takes no parameters; leave 'parameters' out")
        outputs = work.outputs(submit) if inputs else []
        return self._reply(outputs, form, answer_type, submit)

    def _decoded(self, body: bytes, media: media_types.MediaType, share: Share) -> tuple[list[Any], bool]:
        if len(body) <= LARGE_BODY:
            return media_types.decode(body, media)
        share.take(_beside_loop(media_types.weigh, body, media))
        with self._budgets.decoding:
            found: tuple[list[Any], bool] = _beside_loop(media_types.decode, body, media)
        return found

    def _respond_asked(
        self, request: Request, inputs: list[Any], work: Work, form: Form, answer_type: str, submit: Callable[..., Any]
    ) -> Reply:
        """For a handler that wants to know of the requests themselves, and of their sessions."""
        invocation, ended = sessions.attend(self._settings.session_s, request.header, inputs)
        invocation.parameters = form.parameters
        if ended:
            reply = Reply(b"{}", media_types.JSON)
        else:
            outputs = work.outputs(submit, lambda inputs: Asked(inputs, invocation)) if inputs else []
            reply = self._reply(outputs, form, answer_type, submit)
        media = invocation.content_type or reply.content_type
        try:
            return replace(reply, content_type=media, headers=tuple(invocation.reply_headers.items()))
        except BaseException:  # a header that no answer may have: nobody will read the stream, nor close it
            if reply.stream:
                reply.stream.close()
            raise

    def _reply(self, outputs: list[Any], form: Form, answer_type: str, submit: Callable[..., Any]) -> Reply:
        streams = answer_type == streaming.EVENTS
        for number, output in enumerate(outputs, 1):
            if isinstance(output, InputError):
                raise RequestError(400, f"record {number}: {output}" if form.many else str(output))
            streams = streams or streaming.is_stream(output)
        if streams:
            within = stepping(submit, self._predicting.mode)
            stream = streaming.of_outputs(outputs, within, answer_type, form.many)
            if not form.many or answer_type == streaming.EVENTS:
                return Reply(b"", stream.content_type, stream=stream)
            outputs = list(stream.values())
        began = time.perf_counter()
        if is_large(outputs):
            body = _beside_loop(form.encode_large, outputs, answer_type)
        else:
            body = form.encode(outputs, answer_type)
        prometheus.stages["encode"].observe(time.perf_counter() - began)
        return Reply(body, media_types.labelled(answer_type))

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        if not self._predicting.converses:
            return as_request(self.respond, message, conversation, submit)
        step = Step(lambda: self._predicting.answer(message, conversation))
        return streaming.values_of(step, stepping(submit, self._predicting.mode))

    def compute(self, items: list[list[Any]]) -> list[Any]:
        """`predict` on the inputs of all requests at once; where that fails, on those of half of them."""
        found = bisect_failures.outcomes(self._predicting.of_requests, items)
        return [RequestError(400, str(one)) if isinstance(one, InputError) else one for one in found]


def as_request(
    respond: Callable[..., Reply], message: str | bytes, conversation: Conversation, submit: Callable[..., Any]
) -> Iterator[Any]:
    """A message of a WebSocket as a request like any other: JSON where it is a text, else what the opening of the
    conversation says."""
    text = isinstance(message, str)
    body = message.encode() if isinstance(message, str) else message
    kind = media_types.JSON if text else conversation.header("Content-Type") or "application/octet-stream"
    reply = respond(Request(body, kind, conversation.header("Accept"), conversation.header), submit)
    if reply.stream:
        try:
            yield from reply.stream.values()
        finally:
            reply.stream.close()
    else:
        written = reply.content_type.startswith(("text/", "application/json"))
        yield reply.body.decode() if written else reply.body


def _in_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _beside_loop(function: Callable[..., Any], *arguments: Any) -> Any:
    # Errors are handed over as values: gevent would print a traceback for what is only a client's mistake.
    outcome = gevent.get_hub().threadpool.apply(wrap_errors(Exception, function), arguments)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def find(paths: Paths, settings: Settings) -> Servable:
    """What serves the model below `paths.root`, not loaded yet, its code made importable. Raises JobError."""
    folders = code_folders(paths)
    put_on_path(folders)
    export_path(folders)
    return find_servable(paths, settings)


def find_servable(paths: Paths, settings: Settings) -> Servable:
    """The same for a model whose code need not be importable by everybody."""
    found = find_for_serving(paths)
    if isinstance(found, InferenceScript):
        from byo_container.serving.models.script.model import ScriptModel

        return ScriptModel(found.path, paths.model, settings, found.module)
    return HandlerModel(found, paths.model, settings)


class FoundLater:
    """What serves the model of `paths`, looked for where it is loaded: that nobody can serve a model is a fault of the
    model, as any other one that loading finds, and ends no process."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._servable: Servable | None = None

    @property
    def found(self) -> Servable:
        assert self._servable, "nothing is asked of a model that was not loaded"
        return self._servable

    @property
    def batching(self) -> Batching:
        return self._servable.batching if self._servable else Batching()

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        return self._servable.execution_parameters if self._servable else {}

    @property
    def description(self) -> dict[str, Any]:
        return self._servable.description if self._servable else {"model": str(self._paths.model)}

    def load(self) -> None:
        self._servable = find(self._paths, self._settings)
        self._servable.load()

    def compute(self, items: list[Any]) -> list[Any]:
        return self.found.compute(items)

    def respond(self, request: Request, submit: Callable[..., Any]) -> Reply:
        return self.found.respond(request, submit)

    def converse(self, message: str | bytes, conversation: Conversation, submit: Callable[..., Any]) -> Iterator[Any]:
        return self.found.converse(message, conversation, submit)


class ModelServer:
    """One worker's model from start to end: being loaded, ready, or failed.

    `marker` is a file that says that some worker is ready; workers share nothing else. One of many models has none.
    """

    def __init__(self, servable: Servable, settings: Settings, marker: Path | None = None) -> None:
        self.failure = ""
        self.out_of_memory = False
        self._pid = os.getpid()
        self.on_retire: Callable[[], None] = lambda: None
        self._servable = servable
        self._marker = marker
        self._loaded = False
        self._timeout_s = settings.timeout_s
        self.engine = Engine(
            partial(compute_with_steps, servable.compute),
            batching=lambda: servable.batching,
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
        if self._marker:  # the worker's only model
            prometheus.enter(prometheus.FAILED if self.failure else prometheus.READY)
            prometheus.models.set(not self.failure)
        if not self.failure:
            if self._marker:
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
        return self._marker is not None and self._marker.exists()


def marker_path() -> Path:
    """The file that says that some worker is ready, in the folder that `serve` makes for one run."""
    return Path(os.environ["BYO_SERVE_RUNTIME"]) / "ready"
