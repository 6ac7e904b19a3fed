"""What the server, its engine and every kind of model agree on: a request, its reply, and what a model can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from byo_container.container.handler import Conversation
from byo_container.serving import headers
from byo_container.serving.codecs import media_types
from byo_container.serving.engine.engine import Engine
from byo_container.serving.engine.queue import BatchPolicy
from byo_container.serving.engine.streaming import Stream
from byo_container.serving.headers import check_media_type


@dataclass(slots=True)  # and not frozen: one is made for each request, and that would take two microseconds
class Request:
    """What a client sent to /invocations. `header` looks up any other header by name."""

    body: bytes
    content_type: str
    accept: str
    header: Callable[[str], str]
    waited_s: float = 0.0
    """How long the request has waited behind nginx for this worker."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """WSGI's environ, with all headers."""


@dataclass(slots=True)
class Reply:
    body: bytes
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    stream: Stream | None = None
    """The body, where it is sent part by part."""

    def __post_init__(self) -> None:
        """Raises ValueError for headers that would split the answer, wherever they come from."""
        check_media_type(self.content_type)
        if self.headers:
            headers.check(self.headers)


class Servable(Protocol):
    """A model and the code around it. The engine calls `load`, `context` and `compute` in its threads."""

    @property
    def batch_policy(self) -> BatchPolicy:
        """How requests are batched; final once the model is loaded."""

    @property
    def execution_parameters(self) -> Mapping[str, Any]:
        """What the model's code declares for batch transform; final once it is loaded."""

    @property
    def description(self) -> dict[str, Any]:
        """What the test page shows of it."""

    def load(self) -> None:
        """Loads the model."""

    def context(self) -> AbstractContextManager[Any]:
        """Entered around each `compute` and each step of a stream."""

    def compute(self, items: list[Any]) -> list[Any]:
        """One outcome for each item that `respond` submits; an exception in place of one fails it alone."""

    def respond(self, request: Request, engine: Engine) -> Reply:
        """Answers one request, in the event loop; what the model computes is submitted to `engine`. Raises
        RequestError."""

    def converse(self, message: str | bytes, conversation: Conversation, engine: Engine) -> Iterator[Any]:
        """The answers to one message of a WebSocket, as they come. Raises RequestError."""


def respond_to_message(
    servable: Servable, message: str | bytes, conversation: Conversation, engine: Engine
) -> Iterator[Any]:
    """Answers a message of a WebSocket as a request like any other: a text is JSON, bytes are of the Content-Type that
    opened the conversation."""
    if isinstance(message, str):
        body, kind = message.encode(), media_types.JSON
    else:
        body, kind = message, conversation.header("Content-Type") or "application/octet-stream"
    reply = servable.respond(Request(body, kind, conversation.header("Accept"), conversation.header), engine)
    if reply.stream:
        try:
            yield from reply.stream.values()
        finally:
            reply.stream.close()
    else:
        is_text = reply.content_type.startswith(("text/", "application/json"))
        yield reply.body.decode() if is_text else reply.body
