"""What the server, its engine and every kind of model agree on: a request, its reply, and what a model can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from byo_container.container.handler import Conversation
from byo_container.serving import headers
from byo_container.serving.codecs import media_types
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
    def batch_policy(self) -> BatchPolicy:
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
